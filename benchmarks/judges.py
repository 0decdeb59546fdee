"""Records of several PMs side by side: which biases they share, and which features carry them.

    pytest --pm-audit --pm-audit-pm judge:smollm2-135m --pm-audit-record smollm2.json
    pytest --pm-audit --pm-audit-pm judge:gemma3-270m --pm-audit-record gemma3.json
    python -m benchmarks.judges reports/baseline.json smollm2.json gemma3.json

Prints two Markdown tables of the hypotheses that all records hold.  A bias is shared if the
intervals of the gap of all PMs lie on one side of zero; features are those that the searches
selected, by the size of their contributions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pm_audit.records import AuditRecord, Figure, HypothesisRecord
from pm_audit.report.feature_words import name
from pm_audit.report.sanitise import markdown

SHOWN = 2
"""Features of a PM and hypothesis that are named."""
WIDTH = 48


def side(figure: Figure | None) -> int:
    """Return 1 or -1 if the interval lies above or below zero, else 0."""
    if figure is None or figure.low is None or figure.high is None:
        return 0
    return int(figure.low > 0) - int(figure.high < 0)


def by_name(record: AuditRecord) -> dict[str, HypothesisRecord]:
    return {one.name: one for one in record.hypotheses}


def gap(one: HypothesisRecord) -> str:
    """Return the gap in sigma, in bold if its interval excludes zero."""
    text = f"{one.gap_sigma.value:+.2f}"
    return f"**{text}**" if side(one.gap_sigma) else text


def carriers(one: HypothesisRecord) -> str:
    """Return the closure, and the selected features with the largest contributions."""
    if one.closure is None:
        return "-"
    selected = [feature for feature in one.features if feature.folds]
    largest = sorted(selected, key=lambda feature: -abs(feature.contribution.value))[:SHOWN]
    named = "; ".join(markdown(name(feature, width=WIDTH)) for feature in largest)
    return f"{one.closure.value:.2f}: {named or 'none'}"


def tables(records: Sequence[AuditRecord]) -> str:
    """Return both tables."""
    found = [by_name(record) for record in records]
    names = " | ".join(markdown(record.subject.pm) for record in records)
    every = [[one[key] for one in found] for key in found[0] if all(key in one for one in found)]
    columns = "| --- " * (len(records) + 1) + "|"
    lines = [f"| hypothesis | claimed | {names} | shared |", f"{columns} --- | --- |"]
    for own in every:
        sides = {side(one.gap_sigma) for one in own}
        shared = {1: "raises", -1: "lowers"}.get(sides.pop(), "") if len(sides) == 1 else ""
        claimed = own[0].expect["gap"]
        lines.append(f"| {own[0].name} | {claimed} | {' | '.join(map(gap, own))} | {shared} |")
    lines += ["", f"| hypothesis | {names} |", columns]
    lines += [
        f"| {own[0].name} | {' | '.join(map(carriers, own))} |"
        for own in every
        if any(one.closure is not None for one in own)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, nargs="+")
    print(tables([AuditRecord.read(path) for path in parser.parse_args().records]))


if __name__ == "__main__":
    main()
