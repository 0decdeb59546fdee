"""The summary that a person reads at the end of a run, within 100 columns.

Effects are in sigma, the PM's spread over ordinary completions, so that hypotheses can be
compared; raw figures are in the record.  Positive contributions raise the reward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pm_audit.records import (
    AuditRecord,
    Check,
    CheckResult,
    FeatureRecord,
    HypothesisRecord,
    Outcome,
)
from pm_audit.report import (
    baselines,
    decomposition,
    feature_words,
    figures,
    findings,
    scope,
    wording,
)
from pm_audit.report.over_time.notes import Note
from pm_audit.report.terminal_writer import WIDTH, TerminalWriter, shortened
from pm_audit.report.viewed import require_readable

_LONGEST_NAME, _SHORTEST_NAME = 26, 6
_GAP_DECIMALS = 3
_CHECK_LETTERS = 4
_FEATURES_SHOWN = 3
_TITLE_WIDTH = 56
_NAME_WIDTH = 30
_HEADER = ("hypothesis", "expect", "gap (sigma)", "closure", "resid")
_FEATURE_HEADER = ("contribution (sigma)", "of gap", "attribution", "elsewhere", "folds", "feature")


def summary(
    record: AuditRecord,
    *,
    every_feature: bool = False,
    notices: Sequence[str] = (),
    notes: Sequence[Note] = (),
) -> str:
    """Return the run's table, the findings with the words on which features fire, and the tally.

    With ``every_feature`` each candidate is listed, and each condition in which the set was tried.
    ``notices`` come first: what a reader must know about the record as a whole.  ``notes`` of
    reviewers come before the tally.

    Raises:
        RecordError: the record is torn.

    """
    require_readable(record)
    page = TerminalWriter()
    for notice in notices:
        page.wrapped(f"NOTICE: {notice}")
    _table(page, record)
    page.line(wording.LEGEND)
    page.line("; ".join([*findings.sigmas(record), *_prompts(record)]))
    for pairs in findings.tried_pairs(record):
        page.wrapped(pairs)
    page.line()
    for hypothesis in findings.by_size(record):
        if found := wording.searched(hypothesis):
            page.wrapped(f"{hypothesis.name}: {found['edit']}")
            page.wrapped(found["tried"], indent="  ")
            if "others" in found:
                page.wrapped(f"others that broke it there: {found['others']}", indent="  ")
            page.wrapped(
                f"\u201c{found['before']}\u201d became \u201c{found['after']}\u201d", indent="  "
            )
            page.line()
    for hypothesis in findings.by_size(record):
        if every_feature:
            _everything(page, hypothesis, record.method.replacement)
        else:
            _finding(page, hypothesis, findings.selected(hypothesis)[:_FEATURES_SHOWN])
    for note in notes:
        about = "" if note.hypothesis is None else f" on {note.hypothesis}"
        page.wrapped(f"note{about}: {note.note.strip()} ({note.signature})")
    page.line(wording.tally(record))
    if not record.complete:
        judged, wanted = wording.judged_of_manifest(record)
        page.line(
            f"PARTIAL: {judged} of {wanted} checks of the manifest were judged; "
            "this is not a release verdict"
        )
    return page.text()


def _prompts(record: AuditRecord) -> list[str]:
    found = findings.tried(record)
    return [f"tried: {', '.join(found[:4])}"] if found else []


def _table(page: TerminalWriter, record: AuditRecord) -> None:
    header = [*_HEADER, *(check[:_CHECK_LETTERS] for check in record.checks)]
    rows: list[list[str]] = []
    titles: dict[int, str] = {}
    for objective in dict.fromkeys(one.objective for one in record.hypotheses):
        if objective is not None:
            titles[len(rows)] = f"{objective}:"
        group = [one for one in findings.by_size(record) if one.objective == objective]
        rows += [_row(one, record.checks) for one in group]
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(1, len(header))]
    room = WIDTH - sum(widths) - 2 * len(widths)
    name = min(max(room, _SHORTEST_NAME), _LONGEST_NAME)
    header, *rows = ([shortened(row[0], name), *row[1:]] for row in (header, *rows))
    page.table(header, rows, ruled=True, titles=titles)


def _row(hypothesis: HypothesisRecord, checks: tuple[Check, ...]) -> list[str]:
    outcomes = hypothesis.outcomes
    return [
        hypothesis.short_name,
        shortened(findings.expected(hypothesis), 8),
        figures.bare(hypothesis.gap_sigma, most=_GAP_DECIMALS),
        figures.with_bounds(hypothesis.closure).replace("unbounded", "open"),
        figures.value(hypothesis.residual_sigma, most=_GAP_DECIMALS),
        *(wording.OUTCOME_WORDS[outcomes[check]] if check in outcomes else "" for check in checks),
    ]


def _finding(
    page: TerminalWriter, hypothesis: HypothesisRecord, shown: Sequence[FeatureRecord]
) -> None:
    if not shown:
        return
    _sentences(page, hypothesis)
    for feature in shown:
        size, _, share = wording.contribution(feature, hypothesis)
        line = f"  {size:>13}  {share:>5} of the gap  "
        page.line(f"{line}{feature_words.name(feature, width=WIDTH - len(line))}")
    _holds(page, hypothesis)
    page.line()


def _sentences(page: TerminalWriter, hypothesis: HypothesisRecord) -> None:
    found = findings.finding(hypothesis)
    page.wrapped(f"{hypothesis.name}: {found.sentence}")
    if found.explained:
        caveat = f" ({found.caveat})" if found.caveat else ""
        page.wrapped(f"{found.explained}{caveat}:", indent="  ")


def _holds(page: TerminalWriter, hypothesis: HypothesisRecord) -> None:
    if holds := findings.finding(hypothesis).holds:
        page.wrapped(f"{holds}.", indent="  ")


def _everything(page: TerminalWriter, hypothesis: HypothesisRecord, replacement: str) -> None:
    ranked = wording.ranked(hypothesis)
    if not ranked:
        return
    _sentences(page, hypothesis)
    page.table(_FEATURE_HEADER, [_feature_row(one, hypothesis) for one in ranked], indent="  ")
    _holds(page, hypothesis)
    page.line("  How far it holds, as shares of the gap:")
    for one in scope.conditions(hypothesis, replacement):
        phrasing = f" “{one.phrasing.strip()}”" if one.phrasing else ""
        _share(page, f"{one.title}{phrasing}", scope.value(one))
    for whose, parts in decomposition.titled(hypothesis):
        page.line(f"  Where the gap lives{f', {whose}' if whose else ''}:")
        for title, figure in decomposition.shown(parts):
            _share(page, title, figures.share_of(figure.value, hypothesis.explained_gap.value))
    baselines.terminal_lines(page, hypothesis)
    page.line()


def _share(page: TerminalWriter, title: str, share: str) -> None:
    page.line(f"  {shortened(title, _TITLE_WIDTH):<{_TITLE_WIDTH}}  {share}")


def _feature_row(feature: FeatureRecord, hypothesis: HypothesisRecord) -> list[str]:
    size, interval, share = wording.contribution(feature, hypothesis)
    return [
        f"{size.removesuffix(' sigma')} {interval}",
        share,
        wording.attribution(feature, hypothesis).removesuffix(" sigma"),
        wording.elsewhere(feature),
        f"{len(feature.folds)}/{len(hypothesis.evidence.folds)}",
        feature_words.name(feature, width=_NAME_WIDTH),
    ]


def failure(hypothesis: HypothesisRecord, result: CheckResult, *, place: str, command: str) -> str:
    """Return what a failed check prints: place, figures, reason and how to run it again."""
    share, holds = hypothesis.residual_share, scope.line(hypothesis)
    page = TerminalWriter()
    lines = [
        # pytest's short summary shows the first line after the node id, which names the file
        f"{_VERDICTS[result.outcome]}: {result.reason}",
        f"  at        {place}",
        f"  claim     {hypothesis.claim}",
        f"  expects   {findings.expected(hypothesis)}",
        *(f"  {word:<8}  {said}" for word, said in _quoted(wording.searched(hypothesis))),
        f"  gap       {figures.with_bounds(hypothesis.gap_sigma)}, "
        f"{figures.with_bounds(hypothesis.gap)} raw",
        f"  residual  {figures.with_bounds(hypothesis.residual_sigma)}"
        + (f", {figures.number(share)} of the gap" if share else ""),
        *([f"  holds     {holds}"] if holds else []),
        *(f"  warning   {warning}" for warning in hypothesis.warnings),
        f"  again     {command}",
    ]
    for line in lines:
        page.whole_line(line)
    return page.text()


def _quoted(searched: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a search says, its two completions in quotes: they begin with a space."""
    for word, said in searched.items():
        yield word, f"\u201c{said}\u201d" if word in ("before", "after") else said


_VERDICTS = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "refuted",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.INVALID: "cannot be judged",
    Outcome.SKIPPED: "not required",
}
