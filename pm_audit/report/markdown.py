"""The record as Markdown: for a pull request, a job summary or a release page.

Texts of completions stand in code spans, prose is escaped, so that nothing in a record can
become markup, a mention or a link.
"""

from __future__ import annotations

from pm_audit.records import (
    AuditRecord,
    Check,
    FeatureRecord,
    GapShares,
    HypothesisRecord,
    Outcome,
)
from pm_audit.report import rivals, wording
from pm_audit.report.sanitise import markdown, markdown_code

_MARKS = {
    Outcome.PASS: "pass",
    Outcome.FAIL: "**FAIL**",
    Outcome.INCONCLUSIVE: "*inconclusive*",
    Outcome.INVALID: "*invalid*",
    Outcome.SKIPPED: "skipped",
}


def render(record: AuditRecord) -> str:
    """Return the whole record as one Markdown page."""
    lines = ["# Audit of " + markdown(record.subject.pm), "", *overview(record), ""]
    for hypothesis in record.hypotheses:
        lines += [*_section(hypothesis), ""]
    lines += _provenance(record)
    return "\n".join(lines) + "\n"


def overview(record: AuditRecord) -> list[str]:
    """Return the tally and the table of hypotheses, line by line."""
    lines = [markdown(wording.tally(record)) + ".", ""]
    if not record.complete:
        judged, wanted = wording.judged_of_manifest(record)
        lines += [
            f"> **Partial run**: {judged} of {wanted} checks of the manifest were judged. "
            "This is no release verdict.",
            "",
        ]
    lines += [
        "| hypothesis | gap (sigma) | closure | residual | gap | explained | specific | fit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for hypothesis in record.hypotheses:
        outcomes = wording.checks(hypothesis)
        cells = [
            markdown(hypothesis.name) + (" (known bias)" if hypothesis.known_bias else ""),
            f"{hypothesis.gap_sigma.value:+.2f} {wording.bounds(hypothesis.gap_sigma)}",
            wording.with_bounds(hypothesis.closure),
            f"{hypothesis.residual_sigma.value:+.2f}",
            *(_MARKS[outcomes[check]] if check in outcomes else "" for check in Check),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _section(hypothesis: HypothesisRecord) -> list[str]:
    place = markdown_code(f"{hypothesis.file}:{hypothesis.line}")
    lines = [f"## {markdown(hypothesis.name)}", "", f"{markdown(hypothesis.claim)} ({place})", ""]
    lines += [
        f"* {result.check}: {_MARKS[result.outcome]}. {markdown(result.reason)}"
        for result in hypothesis.checks
    ]
    lines += [f"* warning: {markdown(warning)}" for warning in hypothesis.warnings]
    if hypothesis.known_bias:
        known = "; ".join(f"{key}: {value}" for key, value in hypothesis.known_bias.items())
        lines.append(f"* known bias: {markdown(known)}")
    lines += ["", *_figures(hypothesis)]
    if hypothesis.features:
        lines += ["", *_features(wording.ranked(hypothesis))]
    if agreement := wording.agreement(hypothesis):
        lines += ["", markdown(agreement)]
    if beside := rivals.markdown_lines(hypothesis):
        lines += ["", *beside[:-1]]
    return lines


def _figures(hypothesis: HypothesisRecord) -> list[str]:
    figures = {
        "gap": hypothesis.gap,
        "gap in sigma": hypothesis.gap_sigma,
        "residual": hypothesis.residual,
        "residual in sigma": hypothesis.residual_sigma,
        "residual as a share of the gap": hypothesis.residual_share,
        "closure, zero ablation": hypothesis.closure,
        "closure, mean ablation": hypothesis.closure_mean,
        "closure of random sets (median, 95th percentile)": hypothesis.null_closure,
        "collateral": hypothesis.collateral,
        "examples moved": hypothesis.examples_moved,
        "counter-examples moved": hypothesis.counter_examples_moved,
    }
    lines = ["| figure | value |", "| --- | --- |"]
    lines += [
        f"| {name} | {wording.with_bounds(figure)} |" for name, figure in figures.items() if figure
    ]
    accounts = [("", hypothesis.shares)]
    accounts += [(f", {markdown(one.sae)} alone", one.shares) for one in hypothesis.layer_shares]
    for whose, shares in accounts:
        lines += [] if shares is None else _shares(shares, whose)
    lines.append(f"| q-value of the gap | {hypothesis.q_value:.2g} |")
    return lines


def _shares(shares: GapShares, whose: str) -> list[str]:
    parts = {
        "selected features": shares.selected,
        "other features of the SAE": shares.other_features,
        "the SAE's error term": shares.error_term,
        "the rest": shares.rest,
    }
    return [
        f"| gap in {part}{whose} | {wording.with_bounds(figure)} |"
        for part, figure in parts.items()
    ]


def _features(features: tuple[FeatureRecord, ...]) -> list[str]:
    lines = [
        "| feature | contribution | attribution | selectivity | set | fires on |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for feature in features:
        texts = []
        for firing in feature.firings[:2]:
            before, token, after = wording.excerpt(firing)
            texts.append(markdown_code(f"{before}«{token}»{after}"))
        cells = [
            markdown(str(feature)),
            wording.with_bounds(feature.contribution),
            "-" if feature.attribution is None else f"{feature.attribution:+.2f}",
            f"{feature.selectivity:.0%}",
            "selected" if feature.folds else markdown(feature.dropped_by or "not needed"),
            "<br>".join(texts),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _provenance(record: AuditRecord) -> list[str]:
    subject = record.subject
    rows = {
        "written": record.created,
        "PM": f"{subject.pm} ({subject.pm_sha256[:12]})",
        "tokenizer": subject.tokenizer_sha256[:12],
        "text format": subject.text,
        "device": f"{subject.device}, {subject.dtype}",
        **{
            f"SAE {sae.name}": f"{sae.architecture}, layer {sae.layer}, {sae.width} latents "
            f"({sae.sha256[:12]})"
            for sae in subject.saes
        },
        **record.environment,
    }
    lines = ["## Provenance", "", "| what | value |", "| --- | --- |"]
    lines += [f"| {markdown(name)} | {markdown_code(value)} |" for name, value in rows.items()]
    return lines
