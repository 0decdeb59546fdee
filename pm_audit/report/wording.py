"""How outcomes, candidates and counts are put into words, the same in every report.

Nothing here is made safe for a sink: each report's writer does that.
"""

from __future__ import annotations

from statistics import fmean

from pm_audit.records import (
    AuditRecord,
    FeatureRecord,
    Figure,
    Firing,
    HypothesisRecord,
    LabelSource,
    Outcome,
)
from pm_audit.report import figures
from pm_audit.report.feature_words import name_of_token

OUTCOME_WORDS = {
    Outcome.PASS: "ok",
    Outcome.FAIL: "FAIL",
    Outcome.INCONCLUSIVE: "inc",
    Outcome.INVALID: "inv",
    Outcome.SKIPPED: "skip",
}
"""Four letters at most, so that the four checks fit next to the figures."""

_ORIGINS = {
    LabelSource.FIRING: "from where it fires",
    LabelSource.FILE: "from the project's file",
    LabelSource.COMMAND: "from the project's command",
}

LEGEND = (
    "gap: examples minus counter-examples; closure: the share that features explain; "
    "inc: inconclusive"
)

_AROUND = 24
"""Characters of text on either side of a firing."""

_LONGEST = 400
"""Characters of a generated text that are shown; the record holds the whole."""

_DEPARTURES = 20
"""Most checks that a report lists as not run or not reported as planned."""


def ranked(hypothesis: HypothesisRecord) -> tuple[FeatureRecord, ...]:
    """Return every candidate, selected ones first, each group by size of contribution."""
    return tuple(
        sorted(
            hypothesis.features,
            key=lambda feature: (not feature.folds, -abs(feature.contribution.value)),
        )
    )


def attribution(feature: FeatureRecord, hypothesis: HypothesisRecord) -> str:
    """Return the score that proposed a feature, in sigma; a dash if none did."""
    score = feature.attribution
    return "-" if score is None else f"{figures.signed(score / hypothesis.evidence.sigma)} sigma"


def elsewhere(feature: FeatureRecord) -> str:
    """Return the share of a feature's effect that falls on counter-examples and controls."""
    return figures.percent(1 - feature.selectivity)


def selected_by(feature: FeatureRecord, hypothesis: HypothesisRecord) -> str:
    """Return how many of the folds selected a feature: ``1 of 2 folds``, or ``not selected``."""
    folds = len(hypothesis.evidence.folds)
    return f"{len(feature.folds)} of {folds} folds" if feature.folds else "not selected"


def label_origin(feature: FeatureRecord) -> str:
    """Return where a label comes from, and how well it predicts where the feature fires."""
    if feature.label is None:
        return "none"
    origin, score = _ORIGINS[feature.label.source], feature.label.score
    if score is None:
        return origin
    return f"{origin}, {figures.percent(score)} balanced accuracy on other prompts"


def contribution(feature: FeatureRecord, hypothesis: HypothesisRecord) -> tuple[str, str, str]:
    """Return a feature's contribution in sigma, its interval, and its share of the gap."""
    figure = figures.in_sigma(feature.contribution, hypothesis.evidence.sigma)
    share = figures.share_of(feature.contribution.value, hypothesis.explained_gap.value)
    return figures.number(figure), figures.bounds(figure), share


def excerpt(firing: Firing) -> tuple[str, str, str]:
    """Return the text before, at and after a firing, cut to a few words a side.

    A token that stands for no character is shown by its name.
    """
    before, after = firing.before, firing.after
    before = before if len(before) <= _AROUND else f"…{before[-_AROUND:]}"
    after = after if len(after) <= _AROUND else f"{after[:_AROUND]}…"
    return before, firing.token or name_of_token(firing), after


def searched(hypothesis: HypothesisRecord) -> dict[str, str]:
    """Return what a search over edits tried and found, by a word for it; empty without one."""
    found = hypothesis.evidence.generated
    if found is None:
        return {}
    count = f"{found.distinct:,} edit{'' if found.distinct == 1 else 's'}"
    left = [
        f"{number:,} {why}"
        for number, why in (
            (found.too_small, "changed too few texts"),
            (found.refused, "made texts that the PM cannot read"),
        )
        if number
    ]
    tried = f"{count} on {len(found.prompts)} prompts that are not judged here"
    tried += f" ({', '.join(left)}); " if left else "; "
    if found.replayed:
        tried += "none broke the claim, but one of an earlier run did"
    elif not found.broke:
        tried += "none broke the claim, and the one that came nearest is judged"
    elif found.steps:
        steps = "one more was" if found.steps == 1 else f"{found.steps:,} more were"
        tried += f"{found.breaking:,} broke the claim, and {steps} tried for the simplest"
    else:
        tried += f"{found.breaking:,} broke the claim, and the simplest is judged"
    left_out = f"; {found.unchanged:,} prompts without it are left out" if found.unchanged else ""
    others = "; ".join(f"{one.edit} ({one.gap_sigma:+.2f} sigma)" for one in found.others)
    return {
        "edit": _shortened(found.edit) + left_out,
        "tried": tried,
        **({"others": others} if others else {}),
        "before": _shortened(found.base),
        "after": _shortened(found.edited),
    }


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\u2026"


def shown_figures(hypothesis: HypothesisRecord) -> list[tuple[str, str, Figure]]:
    """Return the rewards that every page lists: term of the glossary, title, figure."""
    sigma = hypothesis.evidence.sigma
    interaction = hypothesis.interaction
    others = hypothesis.counter_examples_moved
    shown = (
        ("gap", "gap", hypothesis.gap_sigma),
        ("gap", "gap, raw", hypothesis.gap),
        ("residual", "residual", hypothesis.residual_sigma),
        ("residual", "residual as a share of the gap", hypothesis.residual_share),
        ("interaction", "interaction", interaction and figures.in_sigma(interaction, sigma)),
        ("residual", "examples moved", figures.in_sigma(hypothesis.examples_moved, sigma)),
        ("collateral", "counter-examples moved", figures.in_sigma(others, sigma)),
    )
    return [(term, title, figure) for term, title, figure in shown if figure is not None]


def agreement(hypothesis: HypothesisRecord) -> str | None:
    """Return how far attribution predicted the ablations; None if no candidate was ablated.

    Means over folds; a fold without candidates says nothing.
    """
    folds = hypothesis.evidence.folds
    signs = [fold.sign_agreement for fold in folds if fold.sign_agreement is not None]
    ranks = [fold.rank_correlation for fold in folds if fold.rank_correlation is not None]
    if not signs:
        return None
    correlation = f", with a rank correlation of {fmean(ranks):.2f}" if ranks else ""
    gap = fmean(abs(fold.completeness_gap) for fold in folds)
    return (
        f"Attribution has the sign of the ablation for {fmean(signs):.0%} of candidates"
        f"{correlation}; its sum misses {figures.percent(gap)} of the change that it splits up."
    )


def departures(record: AuditRecord) -> list[str]:
    """Return a line for each check that was not run or not reported as planned, at most twenty."""
    lines = [
        f"{one.name}/{one.check}: {one.departure}" + (f": {one.reason}" if one.reason else "")
        for one in record.not_as_planned
    ]
    left = len(lines) - _DEPARTURES
    return [*lines[:_DEPARTURES], f"{left} more, see the record"] if left > 0 else lines


def known_bias(hypothesis: HypothesisRecord) -> str:
    """Return the accepted failure, ``reason: ...; ticket: ...``; empty if there is none."""
    return "; ".join(
        f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in (hypothesis.known_bias or {}).items()
    )


def tally(record: AuditRecord) -> str:
    """Return how many checks came out how, in one sentence."""
    counts: dict[Outcome, int] = {}
    for hypothesis in record.hypotheses:
        for outcome in hypothesis.outcomes.values():
            counts[outcome] = counts.get(outcome, 0) + 1
    words = [f"{counts[outcome]} {outcome.value}" for outcome in Outcome if outcome in counts]
    return f"{hypotheses(len(record.hypotheses))}: {', '.join(words) or 'no check judged'}"


def hypotheses(count: int) -> str:
    """Return ``1 hypothesis``, ``2 hypotheses``."""
    return f"{count} hypothesis" if count == 1 else f"{count} hypotheses"


def judged_of_manifest(record: AuditRecord) -> tuple[int, int]:
    """Return how many checks of the manifest this record judged, and how many it holds."""
    judged = {
        (hypothesis.name, result.check)
        for hypothesis in record.hypotheses
        for result in hypothesis.checks
    }
    wanted = {(entry.name, check) for entry in record.manifest for check in entry.checks}
    return len(judged & wanted), len(wanted)


def provenance(record: AuditRecord) -> list[tuple[str, str]]:
    """Return what was audited, how and where: title and value."""
    subject, method = record.subject, record.method
    rows = [
        ("written", record.created),
        ("PM", subject.pm),
        ("PM sha256", subject.pm_sha256),
        ("layers, dtype, device", f"{subject.layers}, {subject.dtype}, {subject.device}"),
        ("tokenizer sha256", subject.tokenizer_sha256),
        ("text format", subject.text),
        ("objective", subject.objective or "the only one"),
    ]
    for sae in subject.saes:
        words = f"{sae.source}; {sae.architecture}, after layer {sae.layer}, {sae.width} latents"
        rows += [(f"SAE {sae.name}", words), (f"SAE {sae.name} sha256", sae.sha256)]
    rows += [(f"method: {name}", str(value)) for name, value in method.model_dump().items()]
    rows += sorted(record.environment.items())
    rows.append(("manifest", hypotheses(len(record.manifest))))
    return rows
