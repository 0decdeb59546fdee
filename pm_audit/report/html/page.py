"""From a record to a page: the templates get plain views, every text passes one escape.

The page is one file without any request: styles and script are inlined and named by hash in
its content security policy, so that no markup inside a completion can run.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pm_audit.judging import rules
from pm_audit.records import NOT_PASSED, AuditRecord, SaeFit
from pm_audit.report import (
    baselines,
    changes,
    feature_words,
    figures,
    findings,
    glossary,
    sanitise,
    scope,
    wording,
)
from pm_audit.report.html import entries, plots
from pm_audit.report.over_time.notes import Note, of_the_whole
from pm_audit.report.viewed import require_readable

_TEMPLATES = Path(__file__).parent / "templates"


def render(
    record: AuditRecord,
    notices: Sequence[str] = (),
    notes: Sequence[Note] = (),
    *,
    home: str | None = None,
) -> str:
    """Return the record as a self-contained HTML page.

    Args:
        record: what is shown.
        notices: what a reader must know first about the record as a whole.
        notes: of reviewers, each shown next to what it is about.
        home: a relative address of the page that lists all releases, if there is one.

    Raises:
        RecordError: the record is torn.

    """
    require_readable(record)
    scale = plots.forest(record)
    return page(
        "report.html.j2",
        record=record,
        notices=tuple(notices),
        notes=of_the_whole(notes),
        home=home,
        lead=findings.lead(record),
        facts=_facts(record),
        banner=_banner(record),
        checks=record.checks,
        entries=[
            entries.entry(hypothesis, scale, record.method.replacement, notes)
            for hypothesis in findings.by_size(record)
        ],
        forest=scale,
        provenance=wording.provenance(record),
        fits=_fits(record),
        glossary=glossary.entries(),
        rules=rules(),
        departures=wording.departures(record),
    )


def render_comparison(comparison: changes.Comparison) -> str:
    """Return a comparison of two records as a self-contained HTML page."""
    return page(
        "comparison.html.j2",
        comparison=comparison,
        verdict=changes.verdict(comparison),
        changes=changes.ordered(comparison),
    )


def page(template: str, **context: object) -> str:
    """Return a template filled in, with its style, its script and a policy that allows no other."""
    return Assets().page(template, **context)


@dataclass(frozen=True)
class Assets:
    """What a page carries besides its template, and what it may do."""

    styles: tuple[str, ...] = ("style.css",)
    script: str = "script.js"
    allowed: str = "form-action 'none'"
    """Directives of the policy besides style and script, all others allow nothing."""

    def page(self, template: str, **context: object) -> str:
        """Return a template filled in, with style, script and policy."""
        return (
            environment()
            .get_template(template)
            .render(
                style=Markup(self._style),  # noqa: S704 - the project's own files
                script=Markup(_asset(self.script)),  # noqa: S704 - the project's own file
                policy=Markup(self.policy),  # noqa: S704 - built from hashes alone
                **context,
            )
        )

    @property
    def policy(self) -> str:
        """The content security policy."""
        return (
            f"default-src 'none'; base-uri 'none'; {self.allowed}; "
            f"style-src '{_hash(self._style)}'; script-src '{_hash(_asset(self.script))}'"
        )

    @property
    def _style(self) -> str:
        return "".join(map(_asset, self.styles))


@functools.cache
def environment() -> Environment:
    """Return the templates' environment, whose every text passes the HTML sink."""
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "value", "bounds", "with_bounds", "signed", "percent"):
        found.filters[name] = getattr(figures, name)
    found.filters["in_words"] = baselines.in_words
    found.filters["named"] = feature_words.name
    found.filters["condition"] = scope.value
    return found


def _escape(value: object) -> object:
    """Pass every text through the HTML sink; numbers and finished markup stay."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return Markup(sanitise.html(value))  # noqa: S704 - sanitise.html escapes it


@functools.cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _facts(record: AuditRecord) -> list[str]:
    """Return the line under the title: what the numbers of the page rest on."""
    found = findings.tried(record)
    tried = [", ".join(found)] if found else []
    saes = [f"SAE {sae.name} after layer {sae.layer}" for sae in record.subject.saes]
    return [*findings.sigmas(record), *tried, *findings.tried_pairs(record), *saes]


def _banner(record: AuditRecord) -> dict[str, str]:
    """Return the verdict at the top of the page."""
    text = wording.tally(record) + "."
    if not record.complete:
        judged, wanted = wording.judged_of_manifest(record)
        title = f"Partial: {judged} of {wanted} checks were judged. This is not a release verdict."
        return {"kind": "unsure", "title": title, "text": text}
    blocking = [
        (hypothesis, result)
        for hypothesis in record.hypotheses
        for result in hypothesis.checks
        if result.outcome in NOT_PASSED and hypothesis.severity != "warn"
    ]
    accepted = {one.name: findings.accepted(one) for one in record.hypotheses}
    excused = sum(result.check in accepted[hypothesis.name] for hypothesis, result in blocking)
    if len(blocking) == excused:
        known = f" {excused} known bias{'es' if excused > 1 else ''} stand." if excused else ""
        title = "Every check that blocks a release passed."
        return {"kind": "pass", "title": title, "text": text + known}
    count = len(blocking) - excused
    title = f"{count} check{'s' if count > 1 else ''} would block a release."
    return {"kind": "fail", "title": title, "text": text}


def _fits(record: AuditRecord) -> list[SaeFit]:
    first: dict[str, SaeFit] = {}
    for fit in chain.from_iterable(one.evidence.fits for one in record.hypotheses):
        first.setdefault(fit.sae, fit)
    return list(first.values())
