"""One run: its subject, method and manifest, and every hypothesis as judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from pm_audit.errors import RecordError
from pm_audit.records.atomic import write_atomically
from pm_audit.records.base import CheckResult, Figure, Finite, Outcome, Record
from pm_audit.records.check import Check
from pm_audit.records.document import json_document, read_document
from pm_audit.records.evidence import Evidence, FeatureRecord
from pm_audit.records.explanation import Alongside, Baseline, GapDecomposition, Transfer
from pm_audit.records.subject import MethodRecord, SubjectRecord

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 3

_FAULTS_SHOWN = 3


class HypothesisRecord(Record):
    """One hypothesis, audited: figures, features, checks, and the evidence behind them."""

    name: str
    """Its own name, with ``@objective`` after it if it was judged for one."""
    file: str
    line: int
    claim: str
    effect: str
    lines: dict[str, int] = Field(default_factory=dict)
    """Line of each key such as ``expect.closure`` that the file holds."""
    tags: tuple[str, ...]
    severity: str = "error"
    """``error``: a check that is not passed fails the run; ``warn``: it is only reported."""
    objective: str | None = None
    """Of a PM with several objectives, the one that it was judged for; None if the PM has one."""
    expect: dict[str, Any]
    known_bias: dict[str, Any] | None
    gap: Figure
    """Mean reward of examples minus counter-examples, raw."""
    gap_sigma: Figure
    searched_gap: Figure | None = None
    """Gap of the prompts on which features were searched for, raw, to which shares of the gap are;
    None if these are all."""
    residual: Figure
    """Gap that remains after ablation, raw; the sign of the gap, negative share = overshoot."""
    residual_sigma: Figure
    residual_share: Figure | None
    closure: Figure | None
    """One minus residual over gap, its interval widened by how far the folds differ beyond the
    noise of their prompts; None if no gap was found to explain."""
    closure_by_fold: tuple[Finite, ...] = ()
    """Closure of each fold's set on the prompts that it held out; empty without a gap, or if those
    of a fold have by themselves none on its side."""
    alongside: tuple[Alongside, ...] = ()
    """Closure under the other replacements; empty without a gap."""
    sufficiency: Figure | None = None
    """Share of what all features do to the gap that is left when all but the selected ones are
    replaced; None without a gap, or if all features together do nothing to it."""
    transfer: tuple[Transfer, ...] = ()
    """By phrasing; empty without a gap or with a single phrasing."""
    transfer_closure: Figure | None = None
    """Closure over all phrasings, each by a search that did not see it."""
    stability: Figure | None = None
    """Mean Jaccard index of the folds' sets, and of the sets found on halves of the prompts;
    ``low`` and ``high`` are the least and the largest of a pair.  Two empty sets count 0.  None
    without a gap."""
    collateral: Figure | None
    """Largest mean movement of counter-examples or controls, as a share of the gap."""
    examples_moved: Figure
    """Mean change of the examples' reward under ablation, raw."""
    counter_examples_moved: Figure
    null_closure: Figure | None
    """Median closure of matched random sets; ``high`` is their 95th percentile."""
    decompositions: tuple[GapDecomposition, ...] = ()
    """For all SAEs together, then, if there are several, for each alone; empty without a gap."""
    interaction: Figure | None = None
    """Joint effect of the selected features minus the sum of their single effects, raw."""
    baselines: tuple[Baseline, ...] = ()
    """Closure and collateral of other ways of explaining the gap; empty if not run."""
    placebo_closure: Figure | None = None
    """Share of the gap's size that searches on exchanged labels closed of their own gaps: the
    median, and as ``high`` the largest; None if not run."""
    p_value: Finite
    """Two-sided, of the gap against zero."""
    q_value: Finite
    """Benjamini-Hochberg over the hypotheses of the run."""
    minimum_detectable_gap: Finite
    """Gap in sigma that this many prompts would detect with power 0.8 at level 0.05."""
    probe_prompts: int | None = None
    """Prompts that the hypothesis has, tried or not; None if that is not known."""
    features: tuple[FeatureRecord, ...]
    checks: tuple[CheckResult, ...]
    warnings: tuple[str, ...]
    evidence: Evidence
    digest: str = ""
    """SHA-256 of the rest of this hypothesis; ``pm-audit verify`` computes it again."""

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        # the evidence alone fills pages of a notebook
        yield from (("name", self.name), ("gap_sigma", self.gap_sigma), ("closure", self.closure))
        yield "checks", {result.check.value: result.outcome.value for result in self.checks}

    def line_of(self, key: str) -> int:
        """Return the line of ``key`` (``"expect.closure"``), or that of the hypothesis."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, self.line)

    @property
    def explained_gap(self) -> Figure:
        """The gap, raw, that the features explain: of the prompts on which they were tested."""
        return self.searched_gap or self.gap

    @property
    def outcomes(self) -> dict[Check, Outcome]:
        """The outcome of each judged check, in the order of the record."""
        return {result.check: result.outcome for result in self.checks}

    @property
    def short_name(self) -> str:
        """The hypothesis' own name, the same for every objective."""
        return self.name if self.objective is None else self.name.removesuffix(f"@{self.objective}")

    def sealed(self) -> Self:
        """Return the same record with its digest filled in."""
        return self.model_copy(update={"digest": self.computed_digest()})

    def computed_digest(self) -> str:
        """Return the hash of everything but the digest."""
        # without defaults, so that a field that is added later changes no older record's hash
        content = self.model_dump_json(exclude={"digest"}, exclude_defaults=True)
        return hashlib.sha256(content.encode()).hexdigest()


class ManifestEntry(Record):
    """A check that this run set out to judge."""

    name: str
    file: str
    line: int
    sha256: str
    """Hash of the hypothesis and the probe as read."""
    checks: tuple[Check, ...]


class Departure(StrEnum):
    """How pytest's treatment of a check departed from the plan."""

    NOT_SELECTED = "not selected"
    """Deselected or not collected."""
    NOT_RUN = "not run"
    """Selected, and the run ended before it or passed over it."""
    SKIPPED = "skipped"
    """Skipped or expected to fail before it was judged."""
    ERROR = "error"
    """Its audit, or its setup, ended in an error."""
    REPORTED_OTHERWISE = "reported otherwise"
    """Judged; what pytest reports is not what the audit found."""


class Unplanned(Record):
    """A check that was not judged, or not reported, as planned."""

    name: str
    """The hypothesis, as in the manifest."""
    check: Check
    departure: Departure
    reason: str = ""
    """What pytest said about it."""


class AuditRecord(Record):
    """One run: what was audited, how, where, and every hypothesis with its evidence."""

    schema_version: int = SCHEMA_VERSION
    created: str
    """UTC, ISO 8601."""
    complete: bool
    """Every check of the manifest was judged; a partial run never counts as a release PASS."""
    subject: SubjectRecord
    method: MethodRecord
    environment: dict[str, str]
    manifest: tuple[ManifestEntry, ...]
    hypotheses: tuple[HypothesisRecord, ...]
    not_as_planned: tuple[Unplanned, ...] = ()
    """Checks of the manifest that were not judged, or not reported, as planned."""
    digest: str = ""
    """SHA-256 of all the rest, each hypothesis by its own digest; blank proves nothing."""

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield from (("pm", self.subject.pm), ("created", self.created), ("complete", self.complete))
        yield "hypotheses", [one.name for one in self.hypotheses]

    def __str__(self) -> str:
        """Return the summary that a run prints."""
        from pm_audit.report import terminal

        return terminal.summary(self)

    def sealed(self) -> Self:
        """Return the same record with its digest filled in."""
        return self.model_copy(update={"digest": self.computed_digest()})

    def computed_digest(self) -> str:
        """Return the hash of what no hypothesis owns and of the digests of the hypotheses."""
        own = self.model_dump_json(exclude={"digest", "hypotheses"}, exclude_defaults=True)
        content = own + "".join(one.digest for one in self.hypotheses)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def intact(self) -> bool:
        """Whether everything outside the hypotheses is as it was written."""
        return self.digest == self.computed_digest()

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check of the run, in the order of the reports."""
        judged = {result.check for one in self.hypotheses for result in one.checks}
        judged |= {check for entry in self.manifest for check in entry.checks}
        return tuple(check for check in Check.known() if check in judged)

    def document(self) -> str:
        """Return the record as ASCII JSON."""
        return json_document(self.model_dump(mode="json")) + "\n"

    def write(self, path: Path) -> None:
        """Write the record; a killed run leaves the old file or the new one."""
        write_atomically(path, self.document())

    def save(self, path: Path | str) -> None:
        """Write the report that the suffix names: ``.json``, ``.html``, ``.md``, ``.csv``...

        Raises:
            RecordError: no report has this suffix, or the file cannot be written.

        """
        from pm_audit.report import files

        if not isinstance(path, str | PathLike):
            raise RecordError(
                f"a report's path is a {type(path).__name__}, expected text or a Path"
            )
        files.write(self, Path(path))

    def frame(
        self, rows: Literal["hypotheses", "features", "completions"] = "hypotheses"
    ) -> pd.DataFrame:
        """Return a pandas frame: figures and outcomes, features, or rewards of completions.

        Raises:
            RecordError: there are no such rows, or the record is torn.

        """
        from pm_audit.report import tables

        if rows not in list(tables.FRAMES):
            raise RecordError(f"no frame has rows {rows!r}; choose of {', '.join(tables.FRAMES)}")
        return tables.FRAMES[rows](self)

    def _repr_html_(self) -> str:
        from pm_audit.report.html import notebook

        return notebook.table(self)

    @classmethod
    def read(cls, path: Path) -> AuditRecord:
        """Read a record back.

        Raises:
            RecordError: the file is missing, torn, not a regular file, of another schema version,
                or holds a check that is not installed.

        """
        data = read_document(path)
        if isinstance(data, dict) and "subject" in data and "hypotheses" not in data:
            raise RecordError(
                f"{path}: this is the record of a scan, a repair or a search for exploits and "
                "holds no hypotheses; name one that `pytest --pm-audit` wrote"
            )
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise RecordError(
                f"{path}: schema_version is {ascii(version)[:40]}, this pm_audit reads "
                f"{SCHEMA_VERSION}, whose figures mean something else; audit again with "
                "`pytest --pm-audit`, and for a baseline with --pm-audit-update-baseline"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = dict.fromkeys(map(_fault, error.errors(include_url=False)))
            said = "; ".join(list(faults)[:_FAULTS_SHOWN])
            raise RecordError(f"{path}: not a record of schema {version}: {said}") from error


def _fault(fault: ErrorDetails) -> str:
    if fault["type"] == "enum" and {"check", "checks"} & set(fault["loc"][-2:]):
        known = ", ".join(Check.known())
        return (
            f"unknown check {fault['input']!r} (known: {known}); install the package that adds it"
        )
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
