"""The summary that a person reads at the end of a run, within 100 columns.

Gaps and residuals are in sigma, the PM's spread over ordinary completions, so that hypotheses
can be compared; raw figures are in the record.  Positive contributions raise the reward.
"""

from __future__ import annotations

from tabulate import tabulate

from pm_audit.records import (
    AuditRecord,
    Check,
    CheckResult,
    FeatureRecord,
    HypothesisRecord,
    Outcome,
)
from pm_audit.report import rivals, sanitise, wording

WIDTH = 100
_NAME_WIDTH = 21
_FEATURES_SHOWN = 3


def summary(record: AuditRecord, *, every_feature: bool = False) -> str:
    """Return the run's table, its top features with their texts, and its tally.

    With ``every_feature`` each candidate is listed, dropped ones with the filter's name.
    """
    parts = [_table(record), wording.LEGEND, ""]
    for hypothesis in record.hypotheses:
        parts.extend(_features(hypothesis, every_feature=every_feature))
        beside = rivals.terminal_lines(hypothesis) if every_feature else []
        if beside:
            parts += [f"{sanitise.terminal(hypothesis.name)}, beside it:", *beside, ""]
    parts.append(sanitise.terminal(wording.tally(record)))
    if not record.complete:
        judged, wanted = wording.judged_of_manifest(record)
        parts.append(
            f"PARTIAL: {judged} of {wanted} checks of the manifest were judged; "
            "this is no release verdict"
        )
    return "\n".join(line.rstrip() for part in parts for line in part.split("\n"))


def _table(record: AuditRecord) -> str:
    headers = ["hypothesis", "gap (sigma)", "closure", "residual", "gap", "expl", "spec", "fit"]
    rows = [headers]
    groups: dict[str | None, list[HypothesisRecord]] = {}
    for hypothesis in record.hypotheses:
        groups.setdefault(hypothesis.objective, []).append(hypothesis)
    for hypothesis in (one for group in groups.values() for one in group):
        outcomes = wording.checks(hypothesis)
        rows.append(
            [
                _cut(sanitise.terminal(hypothesis.short_name), _NAME_WIDTH),
                f"{hypothesis.gap_sigma.value:+.2f} {wording.bounds(hypothesis.gap_sigma)}",
                wording.with_bounds(hypothesis.closure),
                f"{hypothesis.residual_sigma.value:+.2f}",
                *(
                    wording.OUTCOME_WORDS[outcomes[check]] if check in outcomes else ""
                    for check in Check
                ),
            ]
        )
    # tabulate pads its own headers by two, which the width has no room for
    rule = ["-" * max(len(row[column]) for row in rows) for column in range(len(headers))]
    table = tabulate([headers, rule, *rows[1:]], tablefmt="plain", disable_numparse=True)
    head, body = table.split("\n")[:2], iter(table.split("\n")[2:])
    for objective, group in groups.items():
        # a PM with several rewards has as many tables as objectives, under one head
        head += [] if objective is None else [_cut(f"{sanitise.terminal(objective)}:", WIDTH)]
        head += [next(body) for _ in group]
    return "\n".join(head)


def _features(hypothesis: HypothesisRecord, *, every_feature: bool) -> list[str]:
    if every_feature:
        shown = wording.ranked(hypothesis)
    else:
        shown = wording.selected(hypothesis)[:_FEATURES_SHOWN]
    if not shown:
        return []
    name = sanitise.terminal(hypothesis.name)
    return [f"{name}:", *(feature_line(feature) for feature in shown), ""]


def feature_line(feature: FeatureRecord) -> str:
    """Return one feature's line: contribution, selectivity and where it fires."""
    name = sanitise.terminal(str(feature))
    state = "" if feature.folds else f" (left out: {feature.dropped_by or 'not needed'})"
    line = (
        f"  {name:<18} {feature.contribution.value:+.2f} {wording.bounds(feature.contribution)}"
        f"  selective {feature.selectivity:.0%}{state}"
    )
    texts = []
    for firing in feature.firings[:2]:
        before, token, after = wording.excerpt(firing, around=16)
        texts.append(sanitise.terminal(f"{before}«{token}»{after}"))
    return _cut(line + ("  " + " | ".join(texts) if texts else ""), WIDTH)


def failure(hypothesis: HypothesisRecord, result: CheckResult, *, place: str, command: str) -> str:
    """Return what a failed check prints: place, figures, reason and how to run it again."""
    lines = [
        f"{place}: {_VERDICTS[result.outcome]}: {result.reason}",
        f"  claim     {hypothesis.claim}",
        f"  gap       {wording.with_bounds(hypothesis.gap)} raw, "
        f"{wording.with_bounds(hypothesis.gap_sigma)}",
        f"  residual  {wording.with_bounds(hypothesis.residual)} raw, "
        f"{wording.with_bounds(hypothesis.residual_sigma)}"
        + (
            f", {wording.number(hypothesis.residual_share)} of the gap"
            if hypothesis.residual_share
            else ""
        ),
    ]
    lines += [f"  warning   {warning}" for warning in hypothesis.warnings]
    lines.append(f"  again     {command}")
    return "\n".join(sanitise.terminal_lines(sanitise.visible(line)) for line in lines)


_VERDICTS = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "refuted",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.INVALID: "cannot be judged",
    Outcome.SKIPPED: "not asked",
}


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
