"""Scores and scans of preference sets, top to bottom.

    pairs -> comparisons -> rewards (shards)                                      score
      -> accuracy, correlations -> length filter, held-out prompts, sample
      -> attributions over what differs (shards) -> candidates
      -> each candidate ablated where it is active (shards) -> ranked features
      -> labels and texts (a task a feature) -> groups, ablated together (shards) -> record

A cheap approximation proposes, a real ablation ranks.  Every shard is a task whose result depends
on its content and the subject alone (``scanning/task.py``) and is kept in a folder, so that a run
which was killed goes on, and ends with the same bytes on every engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pm_audit.data import PairSet, Skipped, SkipReason
from pm_audit.errors import AuditError
from pm_audit.forward.scale import Scale, measure_scale, reference_grid
from pm_audit.forward.splice import replay_noise
from pm_audit.forward.trace import trace
from pm_audit.pipelines.described import describe_environment, describe_subject
from pm_audit.records.scan import Accuracy, ScanData, ScanMethod, ScanRecord
from pm_audit.report.preferences import write_rows
from pm_audit.scanning.compared import comparisons, share_of_prompt
from pm_audit.scanning.engines import Fleet
from pm_audit.scanning.sampler import Sampler, sample
from pm_audit.scanning.scanner import Plan, Scanner
from pm_audit.scanning.score import ScoreTask, scored
from pm_audit.scanning.store import BUDGET, Shop, shards
from pm_audit.scanning.summary import Reading
from pm_audit.scanning.task import digest, one_thread
from pm_audit.subject.preflight import preflight, require
from pm_audit.version import __version__

Integers = npt.NDArray[np.int64]
Report = Callable[[str], None]


@dataclass(frozen=True)
class ScanSettings:
    """How a set is scanned."""

    sampler: Sampler = Sampler.TOP_GAP
    sample: int = 512
    by: str | None = None
    shortest: float = 0.0
    longest: float = 95.0
    held_out: float = 0.2
    candidates: int = 96
    ablated: int = 32
    ig_steps: int = 2
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("sample", "candidates", "ablated", "ig_steps")
        wrong = [f"{name} must be at least 1" for name in counts if getattr(self, name) < 1]
        if not 0 <= self.shortest < self.longest <= 100:
            wrong.append(
                "the length filter must be two percentiles, 0 <= shortest < longest <= 100"
            )
        if self.by is not None and self.sampler is not Sampler.STRATIFIED:
            wrong.append(
                f"by has no effect on a {self.sampler} sample; set sampler to stratified too"
            )
        if not 0 <= self.held_out < 1:
            wrong.append("held_out must be a share of prompts from 0 up to 1")
        if wrong:
            raise AuditError("; ".join(wrong))

    def method(self) -> ScanMethod:
        """Return the settings as a record holds them."""
        fields = {name: getattr(self, name) for name in ScanMethod.model_fields}
        return ScanMethod(**fields | {"sampler": self.sampler.value})


@dataclass(frozen=True, eq=False)
class Scores:
    """The rewards of a preference set."""

    data: PairSet
    """With the pairs that are too long for the PM among those that were skipped."""
    reading: Reading

    def overall(self, *, confidence: float = 0.95) -> Accuracy:
        """Return how often the PM prefers the chosen side."""
        return self.reading.overall(confidence=confidence)

    def rows(self) -> list[dict[str, str | int | float]]:
        """Return a row a comparison, in the data's order: id, row, rewards and tokens."""
        found = zip(self.reading.compared, self.reading.scored, strict=True)
        return [
            {
                "id": self.data.pairs[one.pair].id,
                "row": self.data.pairs[one.pair].row,
                "chosen_reward": read.chosen,
                "rejected_reward": read.rejected,
                "difference": read.difference,
                "prompt_tokens": read.prompt_tokens,
                "chosen_tokens": read.chosen_tokens,
                "rejected_tokens": read.rejected_tokens,
            }
            for one, read in found
        ]

    def skipped(self) -> dict[str, int]:
        """Return how many rows are no pair, or too long for the PM, by reason."""
        return _reasons(self.data)

    def write(self, path: Path) -> None:
        """Write the rows as ``.jsonl``, ``.csv`` or ``.parquet``, as the suffix says.

        Raises:
            RecordError: another suffix, no Parquet engine, or a place that cannot be written to.

        """
        write_rows(self.rows(), path)


def score(data: PairSet, fleet: Fleet, cache: Path, report: Report) -> Scores:
    """Read the rewards of a preference set.

    Args:
        data: the pairs.
        fleet: the subject and the workers.
        cache: folder in which finished shards are kept, a subfolder for each subject.
        report: receives how far the reading is.

    Raises:
        AuditError: no pair can be read, or a number is not finite.

    """
    # rewards need no SAE, so that every SAE of a PM shares them
    alone = replace(fleet, subject=replace(fleet.subject, loaded=None))
    shop = Shop(fleet, folder_of(alone, cache), report)
    compared = comparisons(data.pairs)
    found = scored(shop.run([ScoreTask(shard, BUDGET) for shard in shards(compared)]))
    refused = {
        one.pair: read.refused for one, read in zip(compared, found, strict=True) if read.refused
    }
    kept = [at for at, one in enumerate(compared) if one.pair not in refused]
    if not kept:
        first = next(iter(refused.values()))
        raise AuditError(f"{data.file}: the PM can read none of its pairs: {first}")
    skipped = [
        Skipped(data.pairs[pair].row, SkipReason.TOO_LONG, detail)
        for pair, detail in refused.items()
    ]
    data = replace(data, skipped=(*data.skipped, *skipped))
    reading = Reading(data.pairs, [compared[at] for at in kept], [found[at] for at in kept])
    return Scores(data, reading)


def scan(
    data: PairSet, fleet: Fleet, settings: ScanSettings, cache: Path, report: Report
) -> ScanRecord:
    """Scan a preference set and return the record.

    Args:
        data: the pairs.
        fleet: the subject, with the SAE whose features are ranked, and the workers.
        settings: what is sampled, attributed and ablated.
        cache: as of ``score``.
        report: receives how far the scan is.

    Raises:
        AuditError: the PM fails its preflight, no pair can be read or sampled, no pair has the
            column of the strata, or a number is not finite.

    """
    _require_column(data, settings.by)
    pm, sae = fleet.subject.pm, fleet.subject.sae
    scale = scale_of(fleet)
    scores = score(data, fleet, cache, report)
    reading, confidence = scores.reading, settings.confidence
    picked = pick(reading, settings)
    plan = Plan(settings.candidates, settings.ablated, settings.ig_steps, confidence, settings.seed)
    shop = Shop(fleet, folder_of(fleet, cache), report)
    scanner = Scanner(shop, reading, picked.sampled, scale.noise, plan)
    features = scanner.described(scanner.ranked())
    return ScanRecord(
        subject=describe_subject((pm,), (sae,), device=pm.device.type),
        method=settings.method(),
        environment=describe_environment(),
        data=data_of(scores, picked),
        sigma=scale.sigma,
        noise=scale.noise,
        overall=reading.overall(confidence=confidence),
        by_column=reading.by_column(confidence=confidence),
        by_turns=reading.by_turns(confidence=confidence),
        correlations=reading.correlations(confidence=confidence),
        differences=reading.histogram(),
        completeness_gap=scanner.completeness,
        sample=tuple(
            (reading.pairs[reading.compared[at].pair].id, float(reading.differences[at]))
            for at in picked.sampled
        ),
        features=tuple(features),
        groups=tuple(scanner.groups(features)),
    )


def _require_column(data: PairSet, column: str | None) -> None:
    known = sorted({name for pair in data.pairs for name in pair.columns})
    if column is not None and column not in known:
        raise AuditError(
            f"{data.file}: no pair has the column {column!r} of a stratified sample; there are "
            f"{', '.join(known) or 'none'}"
        )


@dataclass(frozen=True, eq=False)
class Picked:
    """Which comparisons are attributed, and how many are not for a reason."""

    sampled: Integers
    filtered: int
    held_out: int


def pick(reading: Reading, settings: ScanSettings) -> Picked:
    """Filter by length, leave out held-out prompts, and sample.

    Raises:
        AuditError: nothing is left.

    """
    low, high = np.percentile(reading.lengths, [settings.shortest, settings.longest])
    fits = (reading.lengths >= low) & (reading.lengths <= high)
    share = [share_of_prompt(one.turns, seed=settings.seed) for one in reading.compared]
    open_to_all = np.array(share) >= settings.held_out
    left = np.flatnonzero(fits & open_to_all)
    if len(left) < 2:
        raise AuditError(
            f"{len(left)} of {len(reading)} comparisons are left to sample after the length filter "
            "and the held-out prompts; bring more pairs, or set longest to 100 and held_out to 0"
        )
    strata = reading.strata(settings.by)
    chosen = sample(
        reading.differences[left],
        [strata[at] for at in left],
        settings.sample,
        settings.sampler,
        seed=settings.seed,
    )
    return Picked(left[chosen], int((~fits).sum()), int((fits & ~open_to_all).sum()))


def scale_of(fleet: Fleet) -> Scale:
    """Return sigma and the noise floor, by reading the same texts again and by a replay."""
    pm, sae = fleet.subject.pm, fleet.subject.sae
    with one_thread():
        require(preflight(pm), name=pm.name)
        scale = measure_scale(pm)
        replayed = replay_noise(trace(pm, (sae,), reference_grid(pm)), sae.layer)
    return Scale(scale.sigma, max(scale.noise, replayed))


def folder_of(fleet: Fleet, cache: Path) -> Path:
    """Return where a subject's results are kept: another PM, SAE or version has another folder."""
    pm, sae = fleet.subject.pm, fleet.subject.loaded
    about = describe_subject((pm,), (), device=pm.device.type).model_dump(mode="json")
    environment = describe_environment()
    versions = {name: environment[name] for name in ("torch", "transformers")}
    scanned = None if sae is None else [sae.sha256, sae.layer, sae.name]
    return cache / digest([about, scanned, versions, __version__])[:32]


def _reasons(data: PairSet) -> dict[str, int]:
    counts = Counter(one.reason.value for one in data.skipped)
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def data_of(scores: Scores, picked: Picked) -> ScanData:
    """Return what became of the rows of a set."""
    data, reading = scores.data, scores.reading
    return ScanData(
        file=data.file,
        sha256=data.sha256,
        rows=data.rows,
        excluded=data.excluded,
        skipped=_reasons(data),
        pairs=len({one.pair for one in reading.compared}),
        comparisons=len(reading),
        filtered=picked.filtered,
        held_out=picked.held_out,
        sampled=len(picked.sampled),
    )
