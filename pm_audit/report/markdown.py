"""The record as Markdown: for a pull request, a job summary or a release page.

Texts of completions stand in code spans, prose is escaped by the writer, so that nothing in a
record can become markup, a mention or a link.
"""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.records import (
    AuditRecord,
    Check,
    FeatureRecord,
    Figure,
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
from pm_audit.report.formats import ReportFormat
from pm_audit.report.markdown_writer import Code, Lines, MarkdownWriter, Markup, Number, Value
from pm_audit.report.over_time.notes import Note, of_the_whole
from pm_audit.report.scope import Condition
from pm_audit.report.viewed import require_readable

_MARKS = {
    Outcome.PASS: Markup("pass"),
    Outcome.FAIL: Markup("**FAIL**"),
    Outcome.INCONCLUSIVE: Markup("*inconclusive*"),
    Outcome.INVALID: Markup("*invalid*"),
    Outcome.SKIPPED: Markup("skipped"),
}

_FEATURE_COLUMNS = (
    "feature",
    "contribution",
    "of the gap",
    "attribution",
    "elsewhere",
    "set",
    "label",
    "texts",
)


def render(record: AuditRecord, notices: Sequence[str] = (), notes: Sequence[Note] = ()) -> str:
    """Return the whole record as one Markdown page, with a reviewer's notes.

    Raises:
        RecordError: the record is torn.

    """
    require_readable(record)
    page = MarkdownWriter()
    page.heading(1, f"Audit of {record.subject.pm}")
    for notice in notices:
        page.quote("**Notice**: {}", notice)
    _noted(page, of_the_whole(notes))
    _overview(page, record)
    for hypothesis in findings.by_size(record):
        _section(page, hypothesis, record.method.replacement)
        _noted(page, [note for note in notes if note.about(hypothesis)])
    page.heading(2, "Provenance")
    rows = wording.provenance(record)
    page.table(["what", "value"], [[name, Code(value)] for name, value in rows])
    return page.text()


def _noted(page: MarkdownWriter, notes: Sequence[Note]) -> None:
    for note in notes:
        page.quote("**Note** of {}: {}", note.signature, note.note.strip())


def _overview(page: MarkdownWriter, record: AuditRecord) -> None:
    if not record.complete:
        judged, wanted = wording.judged_of_manifest(record)
        page.quote(
            "**Partial run**: {} of {} checks of the manifest were judged. "
            "This is not a release verdict.",
            str(judged),
            str(wanted),
        )
    if lead := findings.lead(record):
        page.paragraph("{}", " ".join(lead))
    page.table(
        [
            "hypothesis",
            "expected",
            "gap (sigma)",
            "closure",
            "sufficiency",
            "unseen phrasings",
            "residual",
            *(check.value for check in record.checks),
        ],
        [_overview_row(hypothesis, record.checks) for hypothesis in findings.by_size(record)],
    )
    if departures := wording.departures(record):
        page.paragraph("Not as planned:")
        page.bullets(departures)
    notes = [*findings.sigmas(record), wording.tally(record)]
    page.paragraph("{}.", "; ".join(notes))


def _overview_row(hypothesis: HypothesisRecord, checks: tuple[Check, ...]) -> list[Value]:
    outcomes = hypothesis.outcomes
    return [
        hypothesis.name + (" (known bias)" if hypothesis.known_bias else ""),
        findings.expected(hypothesis),
        Number(figures.bare(hypothesis.gap_sigma)),
        Number(figures.with_bounds(hypothesis.closure)),
        Number(figures.with_bounds(hypothesis.sufficiency)),
        Number(figures.with_bounds(hypothesis.transfer_closure)),
        Number(figures.value(hypothesis.residual_sigma)),
        *(_MARKS[outcomes[check]] if check in outcomes else "" for check in checks),
    ]


def _section(page: MarkdownWriter, hypothesis: HypothesisRecord, replacement: str) -> None:
    found = findings.finding(hypothesis)
    page.heading(2, hypothesis.name)
    place = Code(f"{hypothesis.file}:{hypothesis.line}")
    page.paragraph("{} ({}, {})", hypothesis.claim, place, findings.prompts(hypothesis))
    page.paragraph("**{}** {}", found.sentence, found.explanation)
    if edit := wording.searched(hypothesis):
        page.paragraph("The edit: {}. Tried: {}.", edit["edit"], edit["tried"])
        if "others" in edit:
            page.paragraph("Others that broke the claim there: {}.", edit["others"])
        page.paragraph("{} became {}.", Code(edit["before"]), Code(edit["after"]))
    bullets: list[Value] = [
        Markup("{}: {}. {}", (result.check.value, _MARKS[result.outcome], result.reason))
        for result in hypothesis.checks
    ]
    bullets += [f"warning: {warning}" for warning in hypothesis.warnings]
    if bias := wording.known_bias(hypothesis):
        bullets.append(f"known bias: {bias}")
    page.bullets(bullets)
    page.table(["figure", "value"], _figures(hypothesis, replacement))
    if hypothesis.features:
        _features(page, hypothesis)
    if agreement := wording.agreement(hypothesis):
        page.paragraph("{}", agreement)
    baselines.markdown_lines(page, hypothesis)


def _figures(hypothesis: HypothesisRecord, replacement: str) -> list[list[Value]]:
    rows: list[list[Value]] = [
        [title, Number(figures.with_bounds(figure))]
        for _, title, figure in wording.shown_figures(hypothesis)
    ]
    rows += [
        [_title(one), Number(scope.value(one))] for one in scope.conditions(hypothesis, replacement)
    ]
    for whose, one in decomposition.titled(hypothesis):
        of = f", {whose}" if one.sae else ""
        rows += [
            [f"gap in {title}{of}", _part(hypothesis, figure)]
            for title, figure in decomposition.shown(one)
        ]
    rows.append(["q-value of the gap", f"{hypothesis.q_value:.2g}"])
    return rows


def _title(one: Condition) -> Value:
    return Markup("{} {}", (one.title, Code(one.phrasing))) if one.phrasing else one.title


def _part(hypothesis: HypothesisRecord, figure: Figure) -> Number:
    shown = figures.with_bounds(figures.in_sigma(figure, hypothesis.evidence.sigma))
    return Number(
        f"{shown}, {figures.share_of(figure.value, hypothesis.explained_gap.value)} of the gap"
    )


def _features(page: MarkdownWriter, hypothesis: HypothesisRecord) -> None:
    page.table(
        _FEATURE_COLUMNS,
        [_feature(feature, hypothesis) for feature in wording.ranked(hypothesis)],
    )


def _feature(feature: FeatureRecord, hypothesis: HypothesisRecord) -> list[Value]:
    texts = []
    for firing in feature.firings[:2]:
        before, token, after = wording.excerpt(firing)
        texts.append(Code(f"{before}«{token}»{after}"))
    size, interval, share = wording.contribution(feature, hypothesis)
    return [
        feature_words.name(feature),
        Number(f"{size} {interval}".strip()),
        Number(share),
        Number(wording.attribution(feature, hypothesis)),
        Number(wording.elsewhere(feature)),
        wording.selected_by(feature, hypothesis),
        wording.label_origin(feature),
        Lines(tuple(texts)),
    ]


FORMAT = ReportFormat(".md", render, annotated=render)
