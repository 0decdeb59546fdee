"""One run: its subject, method and manifest, and every hypothesis as judged."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

from pm_audit.errors import RecordError
from pm_audit.records.atomic import write_atomically
from pm_audit.records.base import Check, CheckResult, Figure, Finite, Record
from pm_audit.records.evidence import Evidence, FeatureRecord
from pm_audit.records.reading import read_document
from pm_audit.records.subject import MethodRecord, SubjectRecord

SCHEMA_VERSION = 1

_FAULTS_SHOWN = 3


class BaselinePoint(Record):
    """What a baseline does with so many directions."""

    directions: int
    closure: Figure
    collateral: Figure | None
    """Largest mean movement of a counter-example or control, as a share of the gap."""


class Baseline(Record):
    """One way of explaining the gap, with its worth at each number of directions."""

    name: str
    points: tuple[BaselinePoint, ...]


class GapShares(Record):
    """Where the gap lives, summing to the gap; each part in raw reward (see docs for the order)."""

    selected: Figure
    other_features: Figure
    error_term: Figure
    rest: Figure


class LayerShares(Record):
    """Where the gap lives as one of several SAEs by itself sees it."""

    sae: str
    layer: int
    shares: GapShares


class HypothesisRecord(Record):
    """One hypothesis, audited: figures, features, checks, and the evidence behind them."""

    name: str
    """Its own name, with ``@objective`` after it where it was judged for one."""
    file: str
    line: int
    claim: str
    effect: str
    lines: dict[str, int] = Field(default_factory=dict)
    """Line of keys such as ``expect.closure``, where the file holds them; empty in older
    records."""
    tags: tuple[str, ...]
    severity: str = "error"
    """``error``: a check that is not passed fails the run; ``warn``: it is only reported."""
    objective: str | None = None
    """Which reward of a PM with several it was judged for; None where the PM has one."""
    expect: dict[str, Any]
    known_bias: dict[str, Any] | None
    gap: Figure
    """Mean reward of examples minus counter-examples, raw."""
    gap_sigma: Figure
    residual: Figure
    """Gap that remains after ablation, raw; the sign of the gap, negative share = overshoot."""
    residual_sigma: Figure
    residual_share: Figure | None
    closure: Figure | None
    """One minus residual over gap; None where no gap was found to explain."""
    closure_mean: Figure | None
    """Closure under mean replacement, held beside zero replacement."""
    collateral: Figure | None
    """Largest mean movement of counter-examples or controls, as a share of the gap."""
    examples_moved: Figure
    """Mean change of the examples' reward under ablation, raw."""
    counter_examples_moved: Figure
    null_closure: Figure | None
    """Median closure of matched random sets; ``high`` is their 95th percentile."""
    shares: GapShares | None = None
    """Where the gap lives, all SAEs together; None where no gap was found to take apart."""
    layer_shares: tuple[LayerShares, ...] = ()
    """The same by each SAE alone; empty where there is only one."""
    interaction: Figure | None = None
    """Joint effect of the selected features minus the sum of their single effects, raw."""
    baselines: tuple[Baseline, ...] = ()
    """Closure and collateral of other ways of explaining the gap; empty where not run."""
    placebo_closure: Figure | None = None
    """Share of the gap's size that searches on exchanged labels closed of their own gaps: the
    median, and as ``high`` the largest; None where not run."""
    p_value: Finite
    """Two-sided, of the gap against zero."""
    q_value: Finite
    """Benjamini-Hochberg over the hypotheses of the run."""
    minimum_detectable_gap: Finite
    """Gap in sigma that this many prompts would detect with power 0.8 at level 0.05."""
    probe_prompts: int | None = None
    """Prompts that the hypothesis has, tried or not; None in older records."""
    features: tuple[FeatureRecord, ...]
    checks: tuple[CheckResult, ...]
    warnings: tuple[str, ...]
    evidence: Evidence
    digest: str = ""
    """SHA-256 of all the rest of this hypothesis; ``pm-audit verify`` holds it against the text."""

    def line_of(self, key: str) -> int:
        """Return the line of ``key`` (``"expect.closure"``), or that of the hypothesis."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, self.line)

    @property
    def short_name(self) -> str:
        """The hypothesis' own name, the same for every objective."""
        return self.name if self.objective is None else self.name.removesuffix(f"@{self.objective}")

    def sealed(self) -> Self:
        """Return the same record with its digest filled in."""
        return self.model_copy(update={"digest": self.computed_digest()})

    def computed_digest(self) -> str:
        """Hash the record as it would be written, without the digest itself."""
        # What was not run leaves no trace in the hash, so records from before it still verify.
        optional = ("baselines", "placebo_closure", "objective", "layer_shares", "lines")
        unused = {name for name in optional if not getattr(self, name)}
        if self.probe_prompts is None:
            unused.add("probe_prompts")
        listed = ("baselines", "placebos", "sweeps", "layers")
        empty = {name for name in listed if not getattr(self.evidence, name)}
        left_out: dict[str, Any] = {
            "digest": True,
            **dict.fromkeys(unused, True),
            "evidence": empty,
        }
        content = self.model_dump_json(exclude=left_out)
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
    """How pytest treated a check other than the run had planned."""

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
    """What pytest had to say about it."""


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

    def sealed(self) -> Self:
        """Return the same record with its digest filled in."""
        return self.model_copy(update={"digest": self.computed_digest()})

    def computed_digest(self) -> str:
        """Hash what no hypothesis owns, and the digests of the hypotheses."""
        # defaults are left out, so that a field that is added later changes no older record's hash
        own = self.model_dump_json(exclude={"digest", "hypotheses"}, exclude_defaults=True)
        content = own + "".join(one.digest for one in self.hypotheses)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def intact(self) -> bool:
        """Say whether everything outside the hypotheses is as it was written."""
        return self.digest == self.computed_digest()

    def write(self, path: Path) -> None:
        """Write the record as JSON; a killed run leaves the old file or the new one."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> AuditRecord:
        """Read a record back.

        Raises:
            RecordError: the file is missing, torn, no regular file, or of another schema version.

        """
        data = read_document(path)
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise RecordError(
                f"{path}: schema_version is {version!r}, this pm_audit reads {SCHEMA_VERSION}; "
                "write the record again with `pytest --pm-audit`"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)[:_FAULTS_SHOWN]
            )
            raise RecordError(f"{path}: not a record of schema {version}: {faults}") from error
