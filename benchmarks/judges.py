"""Records of several PMs side by side: which biases they share, and which features carry them.

    pytest --pm-audit --pm-audit-pm judge:smollm2-135m --pm-audit-record smollm2.json
    pytest --pm-audit --pm-audit-pm judge:gemma3-270m --pm-audit-record gemma3.json
    python -m benchmarks.judges reports/baseline.json smollm2.json gemma3.json

Prints two Markdown tables.  A bias is shared if the intervals of the gap of all PMs lie on one side
of zero; features are those that the searches selected, by the size of their contributions.
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


def gap(one: HypothesisRecord | None) -> str:
    """Return the gap in sigma, in bold if its interval excludes zero."""
    if one is None or one.gap_sigma is None:
        return "-"
    text = f"{one.gap_sigma.value:+.2f}"
    return f"**{text}**" if side(one.gap_sigma) else text


def carriers(one: HypothesisRecord | None) -> str:
    """Return the selected features with the largest contributions, and the closure."""
    if one is None or one.closure is None:
        return "-"
    selected = [feature for feature in one.features if feature.folds]
    largest = sorted(selected, key=lambda feature: -abs(feature.contribution.value))[:SHOWN]
    named = "; ".join(markdown(name(feature, width=WIDTH)) for feature in largest)
    return f"{one.closure.value:.2f}: {named or 'none'}"


def tables(records: Sequence[AuditRecord]) -> str:
    """Return both tables."""
    found = [by_name(record) for record in records]
    names = [markdown(record.subject.pm) for record in records]
    every = list(dict.fromkeys(key for one in found for key in one))
    lines = [f"| hypothesis | {' | '.join(names)} | shared |", "| --- " * (len(names) + 2) + "|"]
    for key in every:
        of_each = [one.get(key) for one in found]
        sides = {side(one.gap_sigma) if one else 0 for one in of_each}
        shared = {1: "raises", -1: "lowers"}.get(sides.pop(), "") if len(sides) == 1 else ""
        lines.append(f"| {key} | {' | '.join(map(gap, of_each))} | {shared} |")
    lines += ["", f"| hypothesis | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for key in every:
        of_each = [one.get(key) for one in found]
        if any(one is not None and one.closure is not None for one in of_each):
            lines.append(f"| {key} | {' | '.join(map(carriers, of_each))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, nargs="+")
    print(tables([AuditRecord.read(path) for path in parser.parse_args().records]))


if __name__ == "__main__":
    main()
