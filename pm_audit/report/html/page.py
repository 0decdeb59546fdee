"""From a record to a page: the templates get plain views, every text passes one escape.

The page is one file without any request: styles and script are inlined and named by hash in
its content security policy, so that nothing which a completion smuggles in could run.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pm_audit.records import (
    AuditRecord,
    Check,
    FeatureRecord,
    Figure,
    HypothesisRecord,
    Outcome,
    SaeFit,
)
from pm_audit.report import changes, glossary, sanitise, wording
from pm_audit.report import rivals as rivals_in_words
from pm_audit.report.html import rivals, views
from pm_audit.report.html.heatmap import HeatLine, heatmaps
from pm_audit.report.html.scale import Scale, spanning

_TEMPLATES = Path(__file__).parent / "templates"
_ATTENTION = frozenset({Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID})


@dataclass(frozen=True, slots=True)
class Banner:
    """The answer at the top."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class FeatureCard:
    """One feature as its card shows it."""

    record: FeatureRecord
    anchor: str
    title: str
    heat: tuple[HeatLine, ...]
    corpus: tuple[HeatLine, ...]


@dataclass(frozen=True, slots=True)
class HypothesisEntry:
    """One hypothesis as its row and its section show it."""

    hypothesis: HypothesisRecord
    anchor: str
    outcomes: dict[Check, Outcome]
    attention: bool
    figures: tuple[tuple[str, Figure], ...]
    bars: views.BarChart
    waterfalls: tuple[views.Waterfall, ...]
    scatter: views.Scatter | None
    growth: views.Growth | None
    agreement: str | None
    rivals: rivals.Multiples | None
    placebo: str | None
    prompts: views.PromptGaps
    features: tuple[FeatureCard, ...]
    left_out: int


def render(record: AuditRecord) -> str:
    """Return the record as a self-contained HTML page."""
    return _page(
        "report.html.j2",
        record=record,
        banner=_banner(record),
        checks=tuple(Check),
        entries=[_entry(hypothesis) for hypothesis in record.hypotheses],
        forest=_forest(record),
        provenance=_provenance(record),
        fits=_fits(record),
        glossary=glossary.ENTRIES,
    )


def render_comparison(comparison: changes.Comparison) -> str:
    """Return a comparison of two records as a self-contained HTML page."""
    return _page(
        "comparison.html.j2",
        comparison=comparison,
        verdict=changes.verdict(comparison),
        changes=changes.ordered(comparison),
    )


def _page(template: str, **context: object) -> str:
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    page = _environment().get_template(template)
    return page.render(
        style=Markup(style),  # noqa: S704 - the project's own file
        script=Markup(script),  # noqa: S704 - the project's own file
        policy=Markup(policy),  # noqa: S704 - built from hashes alone
        **context,
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = wording.number
    environment.filters["bounds"] = wording.bounds
    environment.filters["cut"] = _cut
    return environment


def _escape(value: object) -> object:
    """Pass every text through the HTML sink; numbers and finished markup stay."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return Markup(sanitise.html(value))  # noqa: S704 - sanitise.html escapes it


def _cut(text: str, width: int) -> str:
    shown = sanitise.visible(text)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


@functools.cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _banner(record: AuditRecord) -> Banner:
    text = wording.tally(record) + "."
    if not record.complete:
        judged, wanted = wording.judged_of_manifest(record)
        title = f"Partial: {judged} of {wanted} checks were judged. This is no release verdict."
        return Banner("unsure", title, text)
    blocking = [
        (hypothesis, result)
        for hypothesis in record.hypotheses
        for result in hypothesis.checks
        if result.outcome in _ATTENTION and hypothesis.severity != "warn"
    ]
    excused = sum(
        hypothesis.known_bias is not None
        and result.check is Check.GAP
        and result.outcome is Outcome.FAIL
        for hypothesis, result in blocking
    )
    if len(blocking) == excused:
        known = f" {excused} known bias{'es' if excused > 1 else ''} stand." if excused else ""
        return Banner("pass", "Every check that blocks a release passed.", text + known)
    count = len(blocking) - excused
    return Banner("fail", f"{count} check{'s' if count > 1 else ''} would block a release.", text)


def _entry(hypothesis: HypothesisRecord) -> HypothesisEntry:
    outcomes = wording.checks(hypothesis)
    ranked = wording.ranked(hypothesis)
    figures = {
        "gap": hypothesis.gap_sigma,
        "residual": hypothesis.residual_sigma,
        "residual, share of the gap": hypothesis.residual_share,
        "closure": hypothesis.closure,
        "closure, mean replacement": hypothesis.closure_mean,
        "closure of random sets": hypothesis.null_closure,
        "closure of placebo searches": hypothesis.placebo_closure,
        "collateral": hypothesis.collateral,
        "interaction (raw)": hypothesis.interaction,
        "examples moved (raw)": hypothesis.examples_moved,
        "counter-examples moved (raw)": hypothesis.counter_examples_moved,
    }
    return HypothesisEntry(
        hypothesis=hypothesis,
        anchor=views.anchor(hypothesis),
        outcomes=outcomes,
        attention=any(outcome in _ATTENTION for outcome in outcomes.values()),
        figures=tuple((title, figure) for title, figure in figures.items() if figure is not None),
        bars=views.bar_chart(hypothesis.evidence),
        waterfalls=views.waterfalls(hypothesis),
        scatter=views.scatter(hypothesis),
        growth=views.growth(hypothesis),
        agreement=wording.agreement(hypothesis),
        rivals=rivals.multiples(hypothesis),
        placebo=rivals_in_words.placebo(hypothesis),
        prompts=views.prompt_gaps(hypothesis.evidence),
        features=tuple(
            FeatureCard(
                record=feature,
                anchor=views.anchor(hypothesis, feature),
                title=str(feature),
                heat=heatmaps(feature.firings),
                corpus=heatmaps(feature.corpus_firings),
            )
            for feature in ranked
        ),
        left_out=sum(not feature.folds for feature in ranked),
    )


def _forest(record: AuditRecord) -> Scale:
    edges = [
        edge
        for hypothesis in record.hypotheses
        for figure in (hypothesis.gap_sigma, hypothesis.residual_sigma)
        for edge in (figure.low, figure.value, figure.high)
    ]
    return spanning(edges, start=8.0, end=172.0)


def _provenance(record: AuditRecord) -> list[tuple[str, str]]:
    subject, method = record.subject, record.method
    rows = [
        ("PM", subject.pm),
        ("PM sha256", subject.pm_sha256),
        ("tokenizer sha256", subject.tokenizer_sha256),
        ("text format", subject.text),
        ("objective", subject.objective or "the only one"),
    ]
    for sae in subject.saes:
        words = f"{sae.source}; {sae.architecture}, after layer {sae.layer}, {sae.width} latents"
        rows += [(f"SAE {sae.name}", words), (f"SAE {sae.name} sha256", sae.sha256)]
    rows += [(f"method: {name}", str(value)) for name, value in method.model_dump().items()]
    rows += sorted(record.environment.items())
    rows.append(("manifest", wording.hypotheses(len(record.manifest))))
    return rows


def _fits(record: AuditRecord) -> list[SaeFit]:
    first: dict[str, SaeFit] = {}
    for hypothesis in record.hypotheses:
        for fit in hypothesis.evidence.fits:
            first.setdefault(fit.sae, fit)
    return list(first.values())
