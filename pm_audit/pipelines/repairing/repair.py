"""What repairing a PM by its verified features does to preference accuracy, top to bottom.

    audit record -> verified sets -> levels -> candidates
      -> rewards of pairs, each candidate replayed for real (choosing half of the prompts)
      -> the best candidate for all pairs and for each subset
      -> the same on prompts that took no part (judging half) -> paired intervals -> verdict

Sign: a change is accuracy after minus before, so positive is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from pm_audit.data.pair import Pair, PairSet
from pm_audit.errors import AuditError, ModelError, SaeError
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.scale import reference_grid
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.levels import Levels, at_levels, mean_levels, zero_levels
from pm_audit.judging.intervals import as_figure
from pm_audit.judging.miscalibration import Side, columns_sides, lean
from pm_audit.loading.projected import Projection, projected, refusal
from pm_audit.pipelines.described import describe_subject
from pm_audit.pipelines.repairing.paired_rewards import Read, read, split, without_prompts_of
from pm_audit.pipelines.repairing.verified_sets import VerifiedSet, measured, verified
from pm_audit.records import AuditRecord, Feature, Unit
from pm_audit.records.repair import (
    ALL,
    JudgedRepair,
    Level,
    Miscalibration,
    PairsRead,
    RepairCandidate,
    RepairKind,
    RepairRecord,
    SubsetChange,
)
from pm_audit.stats.clusters import mean_over_prompts
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

Progress = Callable[[str], None]

SMALLEST = 30
"""Prompts of a subset on which a repair of its own is chosen and judged, at least."""


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """What is tried, and how it is chosen and judged."""

    by: str | None = None
    """Column that names the subsets."""
    hypotheses: tuple[str, ...] = ()
    """Whose verified sets are tried; all for none."""
    levels: tuple[Level, ...] = tuple(Level)
    singles: int = 4
    """Features of each set that are tried alone too, strongest contribution first."""
    directions: bool = False
    """Whether to try each set's directions, projected out in the weights; a forward a set."""
    targets: tuple[str, ...] = ()
    """Subsets for which a repair is chosen; for none, all pairs and each subset that is not
    small."""
    contrasts: tuple[str, ...] = ()
    """Columns whose number says which side shows more of something: positive for the examples."""
    tolerance: float = 0.005
    """Most accuracy that all pairs may lose."""
    most_tokens: int | None = None
    """Longest text that is read."""
    seed: int = 0
    confidence: float = 0.95
    resamples: int = 2000


@dataclass(frozen=True, eq=False)
class Candidate:
    """A repair that can be replayed."""

    name: str
    kind: RepairKind
    level: Level
    features: tuple[Feature, ...]
    levels: Levels
    projection: Projection | None = None

    def record(self, change: dict[str, float]) -> RepairCandidate:
        """Return what a record says about it."""
        return RepairCandidate(
            name=self.name, kind=self.kind, level=self.level, features=self.features, change=change
        )


@dataclass(frozen=True, eq=False)
class Repair:
    """The record of a repair, and what its exports are made of."""

    record: RepairRecord
    pm: PreferenceModel
    saes: tuple[Sae, ...]
    sets: tuple[VerifiedSet, ...]
    candidates: tuple[Candidate, ...]

    def of(self, chosen: RepairCandidate) -> Candidate:
        """Return what a candidate of the record replays."""
        key = (chosen.name, chosen.kind, chosen.level)
        return next(one for one in self.candidates if (one.name, one.kind, one.level) == key)


@dataclass(frozen=True, eq=False)
class _Measured:
    """What was read of some pairs."""

    read: Read
    gaps: Floats
    """[pair], reward of examples less counter-examples, as the PM is."""
    correct: Floats
    """[1 + candidate, pair]; the first as the PM is."""
    sides: dict[str, Side]
    """By verified set."""

    def change(self, number: int, pairs: Integers) -> float:
        """Return the change of accuracy by a candidate over some pairs."""
        return float((self.correct[number + 1] - self.correct[0])[pairs].mean())


def repair(
    record: AuditRecord,
    pairs: PairSet,
    subject: tuple[PreferenceModel, Sequence[Sae]],
    *,
    root: Path,
    choose: PairSet | None = None,
    options: RepairOptions | None = None,
    progress: Progress | None = None,
) -> Repair:
    """Try the verified features of an audit as repairs and judge the best.

    Args:
        record: the audit.
        pairs: preferences on which repairs are judged, and by half of whose prompts they are
            chosen unless ``choose`` is given.
        subject: the PM that the record audited, and its SAEs.
        root: the project's folder, with the hypotheses of the record.
        choose: other preferences to choose by; prompts of ``pairs`` among them are left out.
        options: what is tried.
        progress: receives a sentence at each step.

    Raises:
        AuditError: the record is not of this subject, nothing in it is verified, or no pair can be
            read.

    """
    options, report = options or RepairOptions(), progress or (lambda _: None)
    pm, saes = subject[0], tuple(subject[1])
    _require_audited(record, pm, saes)
    report("reading the hypotheses' own texts")
    sets, notes = measured(pm, saes, record, verified(record, options.hypotheses), root)
    candidates, more = _candidates(pm, saes, sets, options)
    everything = read(pm, pairs, most_tokens=options.most_tokens)
    if choose is None:
        first, second = split(everything, seed=options.seed)
    else:
        second = everything
        first = without_prompts_of(read(pm, choose, most_tokens=options.most_tokens), second)
    for half, what in ((first, "choose by"), (second, "judge on")):
        if half.prompts < 2:
            raise AuditError(f"{pairs.file}: {half.prompts} prompts to {what}; bring more pairs")

    chosen_on = _measure(pm, saes, first, candidates, sets, report)
    targets, small = _targets(first, second, options)
    picked = _choose(chosen_on, len(candidates), targets, options)
    used = sorted(set(picked.values()))
    judged_on = _measure(pm, saes, second, [candidates[at] for at in used], sets, report)
    confidence = 1 - (1 - options.confidence) / max(1, len(picked))
    changes = [
        {name: chosen_on.change(at, own) for name, own in _subsets(first, options).items()}
        for at in range(len(candidates))
    ]
    judged = tuple(
        _judge(
            target,
            candidates[at].record(changes[at]),
            used.index(at),
            judged_on,
            options,
            confidence,
        )
        for target, at in picked.items()
    )
    order = sorted(range(len(candidates)), key=lambda at: -changes[at][ALL])
    found = RepairRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        audit_digest=record.digest,
        subject=describe_subject([pm], saes, device=str(pm.device)),
        chosen_on=_described(choose or pairs, first),
        judged_on=_described(pairs, second),
        by=options.by,
        tolerance=options.tolerance,
        confidence=confidence,
        seed=options.seed,
        candidates=tuple(candidates[at].record(changes[at]) for at in order),
        judged=judged,
        miscalibration=_miscalibration((chosen_on, judged_on), sets, options),
        notes=(*notes, *more, *small),
    )
    return Repair(found, pm, saes, sets, candidates)


def _require_audited(record: AuditRecord, pm: PreferenceModel, saes: Sequence[Sae]) -> None:
    if record.subject.pm_sha256 != pm.sha256:
        raise ModelError(
            f"the record audited {record.subject.pm} with other weights than {pm.name} has; name "
            "the PM that was audited, or audit this one"
        )
    held = {sae.name: sae.sha256 for sae in saes}
    for audited in record.subject.saes:
        if held.get(audited.name) != audited.sha256:
            raise SaeError(
                f"the record audited SAE {audited.name} of {audited.source}, which is not among "
                f"those given ({', '.join(held)}); name it with --sae"
            )


def _candidates(
    pm: PreferenceModel, saes: Sequence[Sae], sets: Sequence[VerifiedSet], options: RepairOptions
) -> tuple[tuple[Candidate, ...], list[str]]:
    """Return every set and its strongest features at every level, and why some are not tried."""
    ordinary = mean_levels(trace(pm, saes, reference_grid(pm)))
    nothing = zero_levels(saes)
    found: dict[tuple[object, ...], Candidate] = {}
    notes: list[str] = []
    for one in sets:
        known = {Level.CONTRAST: one.levels, Level.MEAN: ordinary, Level.ZERO: nothing}
        alone = one.plain[: options.singles] if len(one.plain) > 1 else ()
        for level in options.levels:
            if (values := known[level]) is None:
                continue
            for features in (one.plain, *((feature,) for feature in alone)):
                single = len(features) == 1
                # a feature's contrast is of its own hypothesis, the other levels are of none
                own = f" of {one.name}" if level is Level.CONTRAST else ""
                name = f"{features[0]}{own}" if single else one.name
                made = Candidate(name, RepairKind.FEATURES, level, features, values)
                found.setdefault((name, level), made)
        if options.directions:
            whole, reason = _directions(pm, saes, one)
            if whole is not None:
                found[one.name, RepairKind.DIRECTIONS] = whole
            else:
                notes.append(f"{one.name}: its directions are not tried: {reason}")
    return tuple(found.values()), notes


def _directions(
    pm: PreferenceModel, saes: Sequence[Sae], one: VerifiedSet
) -> tuple[Candidate | None, str]:
    reason = refusal(pm)
    names = {feature.sae for feature in one.plain}
    if reason or len(names) > 1 or one.streams is None or one.levels is None:
        return None, reason or ("it spans several SAEs" if len(names) > 1 else "no contrast level")
    sae = next(sae for sae in saes if sae.name in names)
    rows = sae.W_dec[torch.tensor([feature.index for feature in one.plain])]
    projection = Projection.onto(rows, one.streams[sae.layer], sae.layer)
    kind = RepairKind.DIRECTIONS
    return Candidate(one.name, kind, Level.CONTRAST, one.plain, one.levels, projection), ""


def _measure(
    pm: PreferenceModel,
    saes: Sequence[Sae],
    pairs: Read,
    candidates: Sequence[Candidate],
    sets: Sequence[VerifiedSet],
    report: Progress,
) -> _Measured:
    """Read pairs as the PM is and as every candidate makes it."""
    gaps = np.zeros(len(pairs.pairs))
    correct = np.zeros((1 + len(candidates), len(pairs.pairs)))
    markers = {one.name: one.marker for one in sets if one.marker is not None}
    sides = {name: np.zeros(len(pairs.pairs)) for name in markers}
    weights = {
        at: replace(projected(pm, one.projection), edits=pm.edits)
        for at, one in enumerate(candidates)
        if one.projection is not None
    }
    done = 0
    for portion in pairs.portions():
        clean = trace(pm, saes, portion.grid)
        own = np.array(portion.pairs)
        gaps[own] = portion.gaps(clean.rewards)
        correct[0, own] = portion.correct(clean.rewards)
        for name, marker in markers.items():
            shows = (marker.peaks(clean) > marker.threshold).astype(np.float64)
            sides[name][own] = np.sign(portion.gaps(shows))
        for levels, numbers in _by_levels(candidates):
            named = [candidates[at].features for at in numbers]
            after = ablate_sets(clean, named, targets=at_levels(clean, levels))
            for at, rewards in zip(numbers, after, strict=True):
                correct[1 + at, own] = portion.correct(rewards)
        for at, changed in weights.items():
            correct[1 + at, own] = portion.correct(trace(changed, (), portion.grid).rewards)
        done += len(own)
        report(f"read {done:,} of {len(pairs.pairs):,} pairs under {len(candidates)} repairs")
    return _Measured(pairs, gaps, correct, sides)


def _by_levels(candidates: Sequence[Candidate]) -> Iterable[tuple[Levels, list[int]]]:
    """Group candidates of features that share their levels: their replays are run together."""
    groups: dict[int, tuple[Levels, list[int]]] = {}
    for at, one in enumerate(candidates):
        if one.projection is None:
            groups.setdefault(id(one.levels), (one.levels, []))[1].append(at)
    return groups.values()


def _subsets(pairs: Read, options: RepairOptions) -> dict[str, Integers]:
    """Return the numbers of all pairs and of each subset's."""
    found = {ALL: np.arange(len(pairs.pairs))}
    if options.by is None:
        return found
    values = [pair.columns.get(options.by) for pair in pairs.pairs]
    if all(value is None for value in values):
        known = ", ".join(sorted({name for pair in pairs.pairs for name in pair.columns})) or "none"
        raise AuditError(f"column {options.by!r} is not in the pairs; their columns are {known}")
    for value in sorted({str(value) for value in values}):
        found[value] = np.array([at for at, one in enumerate(values) if str(one) == value])
    return found


def _targets(first: Read, second: Read, options: RepairOptions) -> tuple[list[str], list[str]]:
    """Return the subsets for which a repair is chosen, and a note on those that are too small."""
    halves = [_subsets(half, options) for half in (first, second)]
    if options.targets:
        for target in options.targets:
            if not all(target in half for half in halves):
                known = ", ".join(name for name in halves[0] if name in halves[1])
                raise AuditError(f"no subset {target!r} in both halves; choose one of {known}")
        return list(options.targets), []
    large: list[str] = []
    small: list[str] = []
    for name in halves[0]:
        prompts = [
            len(set(pairs.prompt[half[name]].tolist())) if name in half else 0
            for pairs, half in zip((first, second), halves, strict=True)
        ]
        (large if name == ALL or min(prompts) >= SMALLEST else small).append(name)
    notes = [f"no repair is chosen for {', '.join(small)}: fewer than {SMALLEST} prompts a half"]
    return large, notes if small else []


def _choose(
    chosen_on: _Measured, count: int, targets: Sequence[str], options: RepairOptions
) -> dict[str, int]:
    """Return the candidate that gains most for each target; none if no candidate gains."""
    subsets = _subsets(chosen_on.read, options)
    kept = [at for at in range(count) if chosen_on.change(at, subsets[ALL]) >= -options.tolerance]
    picked = {}
    for target in targets:
        gains = {at: chosen_on.change(at, subsets[target]) for at in kept}
        best = max(gains, key=lambda at: gains[at], default=None)
        if best is not None and gains[best] > 0:
            picked[target] = best
    return picked


def _judge(
    target: str,
    candidate: RepairCandidate,
    number: int,
    judged_on: _Measured,
    options: RepairOptions,
    confidence: float,
) -> JudgedRepair:
    before, after = judged_on.correct[0], judged_on.correct[number + 1]
    prompt = judged_on.read.prompt
    subsets = []
    for name, own in _subsets(judged_on.read, options).items():
        change = mean_over_prompts(
            (after - before)[own],
            prompt[own],
            resamples=options.resamples,
            confidence=confidence,
            seed=options.seed,
        )
        subsets.append(
            SubsetChange(
                subset=name,
                pairs=len(own),
                prompts=len(set(prompt[own].tolist())),
                before=float(before[own].mean()),
                after=float(after[own].mean()),
                change=as_figure(change, Unit.SHARE),
            )
        )
    gained = next(one for one in subsets if one.subset == target).change
    lost = -subsets[0].change.value
    reasons = []
    if not (gained.low is not None and math.isfinite(gained.low) and gained.low > 0):
        reasons.append("the interval of its target's change reaches zero")
    if lost > options.tolerance:
        reasons.append(f"all pairs lose more than {100 * options.tolerance:.1f} points")
    return JudgedRepair(
        target=target,
        candidate=candidate,
        subsets=tuple(subsets),
        helps=not reasons,
        reason="; ".join(reasons) or "its target gains, and all pairs lose no more than tolerated",
    )


def _miscalibration(
    halves: Sequence[_Measured], sets: Sequence[VerifiedSet], options: RepairOptions
) -> tuple[Miscalibration, ...]:
    pairs = [pair for half in halves for pair in half.read.pairs]
    gaps = np.concatenate([half.gaps for half in halves])
    offset = int(halves[0].read.prompt.max()) + 1
    same = {pair.turns: int(at) for half in halves[:1] for pair, at in _numbered(half.read)}
    prompt = np.array(
        [
            same.get(pair.turns, offset + int(at)) if number else int(at)
            for number, half in enumerate(halves)
            for pair, at in _numbered(half.read)
        ]
    )
    sides = {
        one.name: np.concatenate([half.sides[one.name] for half in halves])
        for one in sets
        if one.marker is not None
    } | columns_sides(pairs, options.contrasts)
    found = (
        lean(name, side, gaps, prompt, confidence=options.confidence, seed=options.seed)
        for name, side in sides.items()
    )
    return tuple(one for one in found if one is not None)


def _numbered(pairs: Read) -> Iterable[tuple[Pair, int]]:
    return zip(pairs.pairs, pairs.prompt.tolist(), strict=True)


def _described(pairs: PairSet, half: Read) -> PairsRead:
    skipped: dict[str, int] = {}
    for one in half.skipped:
        skipped[str(one.reason)] = skipped.get(str(one.reason), 0) + 1
    return PairsRead(
        file=pairs.file,
        sha256=pairs.sha256,
        rows=pairs.rows,
        pairs=len(half.pairs),
        prompts=half.prompts,
        skipped=skipped,
    )
