"""Frozen results of an audit, with JSON in and out.

The record is the product: the terminal, JUnit, Markdown, HTML and tables are views of it, and
every figure of a verdict can be computed again from the evidence that the record holds.
Nothing here imports torch.

Sign: a contribution is reward minus reward after ablation, so positive means that the feature
raises the reward.  Rewards are in the PM's raw units unless a unit says otherwise.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from pm_audit.errors import NumericalError, RecordError

SCHEMA_VERSION = 1


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise NumericalError(
            f"a figure of the record is {number}; check the PM's weights and dtype for overflow"
        )
    return number


Finite = Annotated[float, AfterValidator(_finite)]


class Record(BaseModel):
    """Base of every result: frozen, closed to unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(StrEnum):
    """What a completion is for in its hypothesis."""

    EXAMPLE = "example"
    COUNTER_EXAMPLE = "counter_example"
    CONTROL = "control"


class Check(StrEnum):
    """The four questions asked of each hypothesis, in the order in which they are reported."""

    GAP = "gap"
    EXPLAINED = "explained"
    SPECIFIC = "specific"
    FIT = "fit"


class Outcome(StrEnum):
    """What became of a check."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """The interval straddles the threshold; a failure unless the user says otherwise."""
    INVALID = "invalid"
    """Cannot be judged: no gap where a ratio is asked, unfit SAE, too few prompts."""
    SKIPPED = "skipped"
    """Not asked, with a reason: the hypothesis expects no gap, so nothing is to be explained."""


class Unit(StrEnum):
    """Unit of a figure."""

    REWARD = "reward"
    SIGMA = "sigma"
    SHARE = "share"


class Figure(Record):
    """A number with its confidence interval."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None
    unit: Unit


class CheckResult(Record):
    """One check's outcome and the sentence that says why."""

    check: Check
    outcome: Outcome
    reason: str


class Feature(Record):
    """Which feature: the SAE's name in the subject, its layer, and the latent's index."""

    sae: str
    layer: int
    index: int

    def __str__(self) -> str:
        """Return ``sae/index``, the form used in tables and on the command line."""
        return f"{self.sae}/{self.index}"


class Firing(Record):
    """A place in this audit's texts where a feature fires."""

    before: str
    """Text of the same completion (or prompt) before the token."""
    token: str
    after: str
    activation: Finite


class Neighbour(Record):
    """Another latent of the same SAE whose decoder points nearly the same way."""

    index: int
    cosine: Finite


class FeatureRecord(Feature):
    """A candidate feature with what was measured about it on discovery prompts."""

    contribution: Figure
    """Mean over examples of reward minus reward with it alone ablated, held-out folds."""
    attribution: Finite | None
    """Mean over examples of the attribution (IG) that proposed it; None where nothing did."""
    selectivity: Finite
    """Share of its absolute contribution that falls on examples, 0 to 1."""
    frequency: Finite
    """Share of examples on which it fires, 0 to 1."""
    folds: tuple[int, ...]
    """Folds whose search selected it; empty for a candidate that was not selected."""
    dropped_by: str | None = None
    """Name of the filter that kept it out of the set, or None."""
    firings: tuple[Firing, ...] = ()
    """Strongest firings in this audit's texts; several may share one text."""
    corpus_firings: tuple[Firing, ...] = ()
    """Strongest firings in a corpus, where a feature index was given."""
    neighbours: tuple[Neighbour, ...] = ()
    """Nearest decoder directions, nearest first: where a feature may have split."""


class RowEvidence(Record):
    """One completion of one prompt: its reward, and its reward after each intervention.

    Figures after ablation come from the fold that did not see this prompt in its search.
    """

    prompt: int
    """Index into ``Evidence.prompts``: the unit of inference."""
    role: Role
    variant: int
    """Index of the completion template within its role."""
    text: str
    reward: Finite
    zero: Finite
    """Reward with the selected set ablated to zero."""
    mean: Finite
    """Reward with the selected set set to its mean over counter-example completions."""
    spliced: Finite
    """Reward with the residual stream replaced by the SAE's reconstruction."""
    features_replaced: Finite | None = None
    """Reward with every feature set to its counter-example mean."""
    stream_replaced: Finite | None = None
    """The same with the SAE's error term at its counter-example mean as well."""
    single_sum: Finite | None = None
    """Sum over the selected set of reward minus reward with that feature alone set to zero."""


class FoldEvidence(Record):
    """What one fold's search found on its discovery prompts, and where it was tested."""

    held_out: tuple[int, ...]
    """Indices of the prompts on which this fold's set is tested."""
    selected: tuple[Feature, ...]
    growth: tuple[Finite, ...]
    """Closure on the discovery prompts after each feature joined the set."""
    sign_agreement: Finite | None
    """Share of candidates whose ablation has attribution's sign; None without candidates."""
    rank_correlation: Finite | None
    """Spearman correlation of attribution and single ablation over candidates."""
    completeness_gap: Finite
    """Sum of attributions plus error term minus the true change, as a share of the true change."""


class NullEvidence(Record):
    """One matched random set per fold, ablated on the held-out prompts."""

    gap: tuple[Finite, ...]
    """Gap of each prompt after the random set was ablated, in the order of ``Evidence.prompts``."""


class RivalEvidence(Record):
    """One way of explaining a gap by directions, ablated on the prompts that did not choose them.

    The first rival is the SAE's own features, given the same budget.
    """

    name: str
    rewards: tuple[tuple[Finite, ...], ...]
    """Rewards after 1, 2, ... directions were ablated jointly, in the order of
    ``Evidence.rows``; a rival may find fewer directions than its budget."""


class PlaceboEvidence(Record):
    """The whole search, repeated with examples and counter-examples exchanged at random."""

    gap: tuple[Finite, ...]
    """Gap of each prompt between the exchanged labels, in the order of ``Evidence.prompts``."""
    gap_after: tuple[Finite, ...]
    """The same after the sets that the search selected were ablated on prompts it had not seen."""
    selected: tuple[int, ...]
    """Features that each fold's search selected."""


class SaeFit(Record):
    """How well one SAE reconstructs this PM's residual stream on this audit's texts."""

    sae: str
    layer: int
    """Block after which the SAE reads, counted from 0."""
    fvu: Finite
    """Fraction of (per-dimension, centred) variance unexplained, massive positions left out."""
    neighbour_fvu: tuple[Finite, ...]
    """The same SAE applied one block earlier and one block later, where these exist."""
    cosine: Finite
    l0: Finite
    """Mean number of active features a token."""
    dead_share: Finite
    """Share of latents that fire on no token of this audit; small texts make it large."""
    massive: int
    """Positions left out of FVU and cosine for their massive norm."""
    tokens: int


class Evidence(Record):
    """Plain numbers of one hypothesis on one subject; verdicts are computed from these alone."""

    prompts: tuple[str, ...]
    rows: tuple[RowEvidence, ...]
    sigma: Finite
    """Standard deviation of the PM's reward over the fixed reference completions."""
    noise: Finite
    """Largest change of a reward under re-batching and padding: the PM's own noise floor."""
    folds: tuple[FoldEvidence, ...]
    null: tuple[NullEvidence, ...]
    fits: tuple[SaeFit, ...]
    rivals: tuple[RivalEvidence, ...] = ()
    placebos: tuple[PlaceboEvidence, ...] = ()


class RivalPoint(Record):
    """What a rival does with so many directions."""

    directions: int
    closure: Figure
    collateral: Figure | None
    """Largest mean movement of a counter-example or control, as a share of the gap."""


class Rival(Record):
    """One way of explaining the gap, with its worth at each number of directions."""

    name: str
    points: tuple[RivalPoint, ...]


class GapShares(Record):
    """Where the gap lives, summing to the gap; each part in raw reward (see docs for the order)."""

    selected: Figure
    other_features: Figure
    error_term: Figure
    rest: Figure


class HypothesisRecord(Record):
    """One hypothesis, audited: figures, features, checks, and the evidence behind them."""

    name: str
    file: str
    line: int
    claim: str
    effect: str
    tags: tuple[str, ...]
    severity: str = "error"
    """``error``: a check that is not passed fails the run; ``warn``: it is only reported."""
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
    """Where the gap lives; None where no gap was found to take apart."""
    interaction: Figure | None = None
    """Joint effect of the selected features minus the sum of their single effects, raw."""
    rivals: tuple[Rival, ...] = ()
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
    features: tuple[FeatureRecord, ...]
    checks: tuple[CheckResult, ...]
    warnings: tuple[str, ...]
    evidence: Evidence
    digest: str = ""
    """SHA-256 of all the rest of this hypothesis; ``pm-audit verify`` holds it against the text."""

    def sealed(self) -> Self:
        """Return the same record with its digest filled in."""
        return self.model_copy(update={"digest": self.computed_digest()})

    def computed_digest(self) -> str:
        """Hash the record as it would be written, without the digest itself."""
        # What was not run leaves no trace in the hash, so records from before it still verify.
        unused = {name for name in ("rivals", "placebo_closure") if not getattr(self, name)}
        empty = {name for name in ("rivals", "placebos") if not getattr(self.evidence, name)}
        left_out: dict[str, Any] = {
            "digest": True,
            **dict.fromkeys(unused, True),
            "evidence": empty,
        }
        content = self.model_dump_json(exclude=left_out)
        return hashlib.sha256(content.encode()).hexdigest()


class SaeRecord(Record):
    """One SAE of the subject."""

    name: str
    source: str
    architecture: str
    layer: int
    width: int
    sha256: str


class SubjectRecord(Record):
    """What was audited."""

    pm: str
    pm_sha256: str
    tokenizer_sha256: str
    text_format: str
    objective: str | None
    dtype: str
    device: str
    layers: int
    hidden_size: int
    saes: tuple[SaeRecord, ...]


class MethodRecord(Record):
    """How it was audited: every setting that could change a figure."""

    prompts: int | None = None
    """Most prompts of a hypothesis that were tried, the first ones of its probe; None for all."""
    folds: int
    candidates: int
    max_features: int
    selectivity: Finite
    ig_steps: int
    quadrature: str
    null_sets: int
    bootstrap_resamples: int
    confidence: Finite
    seed: int
    rivals: bool = False
    """Whether other ways of explaining each gap were run beside the SAE."""
    placebos: int = 0
    """Searches repeated on exchanged labels."""


class ManifestEntry(Record):
    """A check that this run set out to judge."""

    name: str
    file: str
    line: int
    sha256: str
    """Hash of the hypothesis and the probe as read."""
    checks: tuple[Check, ...]


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

    def write(self, path: Path) -> None:
        """Write the record as JSON; a killed run leaves the old file or the new one."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> AuditRecord:
        """Read a record back.

        Raises:
            RecordError: the file is missing, torn, or of another schema version.

        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecordError(f"{path}: no such record; `pytest --pm-audit` writes one") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RecordError(f"{path}: cannot be read as a record: {error}") from error
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise RecordError(
                f"{path}: schema_version is {version!r}, this pm_audit reads {SCHEMA_VERSION}; "
                "write the record again with `pytest --pm-audit`"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise RecordError(f"{path}: not a record of schema {version}: {error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` beside ``path``, flush it to disk, and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as stream:
        try:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            # a temporary file is private; a report is for whoever may read its folder
            masked = os.umask(0)
            os.umask(masked)
            Path(stream.name).chmod(0o666 & ~masked)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise
    Path(stream.name).replace(path)
