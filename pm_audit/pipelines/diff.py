"""What changed from one PM to another on the same body, top to bottom.

    pairs -> rewards of both PMs -> accuracy, agreement; change of chosen minus rejected
      -> length filter, held-out prompts, sample of the largest changes
      -> attributions in both over what differs, subtracted -> candidates
      -> each ablated in both on the same texts, subtracted
      -> labelled, grouped, ranked by the share of the change that they carry -> record

The share of a feature is sum(D d) / sum(D D) over the sample, D the change of chosen minus rejected
and d what the feature adds to it: shares of all features and of the error term would add up to one
if contributions were additive.  Groups are ranked by what is certain of it, times how closely their
activity follows D.

One SAE reads both streams: a direction keeps its meaning as long as training moved the body
little, which the fit of the SAE to the new stream shows.  Rewards are in sigma of their own PM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pm_audit.data import PairSet
from pm_audit.errors import AuditError
from pm_audit.judging.intervals import as_figure
from pm_audit.loading.judges.names import own_saes
from pm_audit.loading.named import require_named_subject
from pm_audit.pipelines.described import describe_environment, describe_subject
from pm_audit.pipelines.scan import (
    Report,
    ScanSettings,
    Scores,
    data_of,
    folder_of,
    pick,
    scale_of,
    score,
)
from pm_audit.records import Figure, Unit
from pm_audit.records.diff import ChangedFeature, DiffRecord
from pm_audit.records.scan import FeatureGroup, ScannedFeature
from pm_audit.scanning.engines import Fleet
from pm_audit.scanning.paired import OfBoth, PairedShop
from pm_audit.scanning.ranking import Change
from pm_audit.scanning.scanner import Plan, Scanner
from pm_audit.scanning.score import Scored
from pm_audit.scanning.store import Shop
from pm_audit.scanning.summary import Reading
from pm_audit.scanning.task import Loader
from pm_audit.spec import Settings
from pm_audit.stats import clustered_mean, clustered_share
from pm_audit.subject.compatibility import require_saes_of

Floats = npt.NDArray[np.float64]
Changed = TypeVar("Changed", ChangedFeature, FeatureGroup)


def diff(
    data: PairSet,
    old: Fleet,
    new: Fleet,
    settings: ScanSettings,
    cache: Path,
    report: Report,
) -> DiffRecord:
    """Compare two PMs of one body over a preference set.

    Args:
        data: the pairs.
        old: the PM before, with the SAE that reads both.
        new: the PM after, with the same SAE.
        settings: what is sampled, attributed and ablated.
        cache: folder in which finished shards are kept, a subfolder for each PM.
        report: receives how far the diff is.

    Raises:
        AuditError: the PMs are not of one body, one fails its preflight, no pair can be read or
            sampled, or a number is not finite.

    """
    _require_one_body(old, new)
    scales = [scale_of(fleet) for fleet in (old, new)]
    units = scales[0].sigma, scales[1].sigma
    noise = sum(scale.noise / scale.sigma for scale in scales)
    read = _both(*(score(data, fleet, cache, report) for fleet in (old, new)))
    changes = _changes(*read, *units)
    picked = pick(changes, settings)
    # of each candidate two figures may show a change
    together = 1 - (1 - settings.confidence) / (2 * settings.candidates)
    plan = Plan(settings.candidates, settings.ablated, settings.ig_steps, together, settings.seed)
    shops = [Shop(fleet, folder_of(fleet, cache), report) for fleet in (old, new)]
    paired = PairedShop(shops[0], shops[1], units)
    change = Change(changes.differences[picked.sampled], settings.confidence)
    scanner = Scanner(paired, changes, picked.sampled, noise, plan, change)
    ranked = scanner.described(scanner.ranked())
    features = _in_both(ranked, paired.of_both(), together)
    groups = [_in_sigma(group) for group in scanner.groups(ranked)]
    before, after = (scores.reading for scores in read)
    confidence = settings.confidence
    right = [_right(one.differences) for one in (before, after)]
    same = (np.sign(before.differences) == np.sign(after.differences)).astype(np.float64)
    return DiffRecord(
        old=describe_subject((old.subject.pm,), (old.subject.sae,), device=_device(old)),
        new=describe_subject((new.subject.pm,), (new.subject.sae,), device=_device(new)),
        method=settings.method(),
        environment=describe_environment(),
        data=data_of(read[1], picked),
        old_sigma=units[0],
        new_sigma=units[1],
        noise=noise,
        old_accuracy=before.overall(confidence=confidence),
        new_accuracy=after.overall(confidence=confidence),
        accuracy=as_figure(
            clustered_mean(right[1] - right[0], after.cluster, confidence=confidence), Unit.SHARE
        ),
        agreement=as_figure(
            clustered_share(same, after.cluster, confidence=confidence), Unit.SHARE
        ),
        correlations=changes.correlations(confidence=confidence),
        differences=changes.histogram(),
        completeness_gap=scanner.completeness,
        sample=tuple(
            (changes.pairs[changes.compared[at].pair].id, float(changes.differences[at]))
            for at in picked.sampled
        ),
        features=tuple(features),
        groups=tuple(groups),
    )


def fleets_of(
    old: str, new: str, common: Settings, *, sae: str | None, workers: int = 1
) -> tuple[Fleet, Fleet]:
    """Load two PMs that are named, each with the SAE that reads both.

    Args:
        old: the PM before.
        new: the PM after.
        common: settings of both, which are read as they are trained: ``repair`` is left out.
            Without ``saes`` the SAEs are those of the old PM, or else of the new one.
        sae: which of several SAEs; the first for None.
        workers: processes of each.

    Raises:
        AuditError: a PM or SAE cannot be loaded, or neither PM has an SAE and none is named.

    """
    owner = next((pm for pm in (old, new) if own_saes(pm)), old)
    both = {"saes": own_saes(owner, common.saes), "repair": None}
    each = [
        common.model_copy(update=both | {"pm": Settings.merged(cli={"pm": pm}).pm})
        for pm in (old, new)
    ]
    for settings in each:
        require_named_subject(settings)
    found = [Fleet.of(Loader(settings, sae), workers=workers) for settings in each]
    return found[0], found[1]


def _require_one_body(old: Fleet, new: Fleet) -> None:
    """Refuse PMs whose streams no one SAE can read, or that read a text as other tokens."""
    pms = [fleet.subject.pm for fleet in (old, new)]
    one, other = (describe_subject((pm,), (), device=pm.device.type) for pm in pms)
    wrong = [
        f"{what} {before} and {after}"
        for what, before, after in (
            ("hidden sizes", one.hidden_size, other.hidden_size),
            ("layers", one.layers, other.layers),
            ("tokenizers", one.tokenizer_sha256[:12], other.tokenizer_sha256[:12]),
            ("text formats", one.text, other.text),
        )
        if before != after
    ]
    if wrong:
        raise AuditError(
            f"a diff is of two PMs of one body; {pms[0].name} and {pms[1].name} have "
            f"{'; '.join(wrong)}; compare their audits instead: pm-audit compare"
        )
    if old.subject.sae.sha256 != new.subject.sae.sha256:
        raise AuditError("a diff reads both PMs with one SAE; name it with --sae")
    for fleet in (old, new):
        require_saes_of(fleet.subject.pm, (fleet.subject.sae,))


def _both(old: Scores, new: Scores) -> tuple[Scores, Scores]:
    """Return what both PMs could read, in one order."""
    known = [dict(zip(one.reading.compared, one.reading.scored, strict=True)) for one in (old, new)]
    kept = [one for one in new.reading.compared if one in known[0]]
    if not kept:
        raise AuditError(f"{new.data.file}: the PMs can read none of its pairs in common")
    found = [
        replace(scores, reading=Reading(new.reading.pairs, kept, [own[one] for one in kept]))
        for scores, own in zip((old, new), known, strict=True)
    ]
    return found[0], found[1]


def _changes(old: Scores, new: Scores, of_old: float, of_new: float) -> Reading:
    """Return the rewards' changes as a reading, each reward in its own PM's sigma."""
    reading = new.reading
    every = zip(old.reading.scored, reading.scored, strict=True)
    changed: list[Scored] = [
        after._replace(
            chosen=after.chosen / of_new - before.chosen / of_old,
            rejected=after.rejected / of_new - before.rejected / of_old,
        )
        for before, after in every
    ]
    return Reading(reading.pairs, reading.compared, changed)


def _in_both(
    features: list[ScannedFeature], measured: Mapping[int, OfBoth], confidence: float
) -> list[ChangedFeature]:
    found = []
    for one in features:
        own = measured[one.index]
        numbers = {prompt: at for at, prompt in enumerate(dict.fromkeys(own.prompts))}
        cluster = np.array([numbers[prompt] for prompt in own.prompts], dtype=np.int64)
        old, new = (
            as_figure(clustered_mean(values, cluster, confidence=confidence), Unit.REWARD)
            for values in (own.old, own.new)
        )
        # the labels say nothing about a change
        known = dict(one) | {"leans_too_far": None}
        found.append(_in_sigma(ChangedFeature(**known, old=old, new=new)))
    return found


def _in_sigma(one: Changed) -> Changed:
    """Return a feature or group whose figures say their unit: each PM's rewards are in its own."""
    raw = {
        name: value
        for name, value in one
        if isinstance(value, Figure) and value.unit is Unit.REWARD
    }
    named = {name: value.model_copy(update={"unit": Unit.SIGMA}) for name, value in raw.items()}
    return one.model_copy(update=named)


def _right(differences: Floats) -> Floats:
    right: Floats = (differences > 0) + 0.5 * (differences == 0)
    return right


def _device(fleet: Fleet) -> str:
    return str(fleet.subject.pm.device.type)
