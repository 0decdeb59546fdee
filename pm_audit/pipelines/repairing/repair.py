"""What repairing a PM by its verified features does to preference accuracy, top to bottom.

    audit record -> verified sets -> levels -> candidates
      -> rewards of pairs, each candidate replayed for real (choosing half of the prompts)
      -> the best candidate for all pairs and for each subset
      -> the same on prompts that took no part (judging half) -> paired intervals -> verdict

Sign: a change is accuracy after minus before, so positive is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pm_audit.data.pair import PairSet
from pm_audit.errors import AuditError, ModelError, SaeError
from pm_audit.judging.miscalibration import columns_sides
from pm_audit.pipelines.described import describe_subject
from pm_audit.pipelines.repairing import judge
from pm_audit.pipelines.repairing.candidates import Candidate, candidates_of, picked_of
from pm_audit.pipelines.repairing.measured import Progress, measure, subsets
from pm_audit.pipelines.repairing.options import RepairOptions
from pm_audit.pipelines.repairing.paired_rewards import Read, read, split, without_prompts_of
from pm_audit.pipelines.repairing.verified_sets import VerifiedSet, measured, verified
from pm_audit.records import AuditRecord
from pm_audit.records.repair import ALL, PairsRead, RepairCandidate, RepairRecord
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae


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
    candidates, more = candidates_of(pm, saes, sets, options)
    first, second = _parts(pm, pairs, choose, options)
    # a wrong name is refused before the pairs are read
    targets, small = judge.targets_of(first, second, options)
    leaning = second.pairs if choose is not None else (*first.pairs, *second.pairs)
    columns_sides(leaning, options.contrasts)
    if options.pick is not None:
        picked_of(options.pick, candidates)
    chosen_on = measure(pm, saes, first, candidates, sets, report)
    picked = judge.choose(chosen_on, len(candidates), targets, options)
    used = sorted(set(picked.values()))
    judged_on = measure(pm, saes, second, [candidates[at] for at in used], sets, report)
    # all intervals together have the coverage that was asked for
    confidence = 1 - (1 - options.confidence) / max(1, len(picked))
    known = subsets(first, options.by)
    tried = [
        one.record({name: chosen_on.change(at, own) for name, own in known.items()})
        for at, one in enumerate(candidates)
    ]
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
        candidates=tuple(sorted(tried, key=lambda one: -one.change[ALL])),
        judged=tuple(
            judge.judge(target, tried[at], used.index(at), judged_on, options, confidence)
            for target, at in picked.items()
        ),
        miscalibration=judge.leans(
            (chosen_on, judged_on) if choose is None else (judged_on,),
            [one.name for one in sets if one.marker is not None],
            options,
        ),
        notes=(*notes, *more, *small),
    )
    return Repair(found, pm, saes, sets, candidates)


def _parts(
    pm: PreferenceModel, pairs: PairSet, choose: PairSet | None, options: RepairOptions
) -> tuple[Read, Read]:
    """Return the pairs to choose by and those to judge on, which share no prompt."""
    every = read(pm, pairs, most_tokens=options.max_tokens)
    if choose is None:
        first, second = split(every, seed=options.seed)
    else:
        other = read(pm, choose, most_tokens=options.max_tokens)
        first, second = without_prompts_of(other, every), every
    for part, what in ((first, "choose by"), (second, "judge on")):
        if part.prompts < 2:
            raise AuditError(f"{pairs.file}: {part.prompts} prompts to {what}; bring more pairs")
    return first, second


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


def _described(pairs: PairSet, part: Read) -> PairsRead:
    return PairsRead(
        file=pairs.file,
        sha256=pairs.sha256,
        rows=pairs.rows,
        pairs=len(part.pairs),
        prompts=part.prompts,
        skipped=dict(Counter(str(one.reason) for one in part.skipped).most_common()),
    )
