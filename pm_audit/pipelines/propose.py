"""Draft hypotheses from a scan, top to bottom.

    scan, data, subject -> texts of the scan's prompts and of others, read
      -> for each of the strongest groups: the edit that switches it, its pairs on other prompts
      -> gap of these pairs -> name and claim -> YAML that loads

No language model is needed; a command of the user's can give drafts other names and claims.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count

import numpy as np

from pm_audit.data import PairSet
from pm_audit.data.sampling import rank
from pm_audit.drafts.draft import Drafter
from pm_audit.drafts.pairs import Drafted, DraftPair
from pm_audit.drafts.reading import Reader, Reading, Text
from pm_audit.drafts.slots import Slots
from pm_audit.drafts.worded import WordingDrafter
from pm_audit.drafts.written import Draft, Proposal, Refused, name_and_claim
from pm_audit.errors import AuditError
from pm_audit.records.scan import FeatureGroup, ScannedFeature, ScanRecord
from pm_audit.scanning.compared import share_of_prompt
from pm_audit.spec import Effect
from pm_audit.stats import PromptBootstrap
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

Report = Callable[[str], None]

FEWEST = 6
"""Prompts that a draft needs."""

_READ = 480
"""Texts of the scan's prompts, and of the others, that are read at most."""

_SAME = 0.6
"""Share of texts in which two groups are strongest at the same place that makes them one draft."""

_ALONE = 3
"""Features of a group without a draft that are tried alone."""

_RESAMPLES = 2_000


@dataclass(frozen=True)
class ProposeSettings:
    """What is drafted."""

    groups: int = 40
    """Groups that are tried, the strongest first."""
    drafts: int = 20
    """Drafts at most."""
    prompts: int = 16
    """Prompts of a draft at most."""
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be at least {least}"
            for name, least in (("groups", 1), ("drafts", 1), ("prompts", FEWEST))
            if getattr(self, name) < least
        ]
        if not 0 < self.confidence < 1:
            wrong.append("confidence must be between 0 and 1")
        if wrong:
            raise AuditError("; ".join(wrong))


def propose(
    scan: ScanRecord,
    data: PairSet,
    pm: PreferenceModel,
    sae: Sae,
    settings: ProposeSettings,
    report: Report,
) -> Proposal:
    """Draft hypotheses for the strongest groups of a scan.

    Args:
        scan: its record.
        data: the pairs that were scanned.
        pm: the PM that was scanned.
        sae: the SAE that was scanned.
        settings: what is drafted.
        report: receives a sentence at each step.

    Raises:
        AuditError: data, PM or SAE are not those of the scan, or it held no prompts out.

    """
    _require_same(scan, data, pm, sae)
    known, fresh = _parts(scan, data, seed=settings.seed)
    groups = scan.groups[: settings.groups]
    if not groups:
        raise AuditError("the scan has no group of features; scan more pairs")
    numbers = {at: n for n, at in enumerate(dict.fromkeys(i for g in groups for i in g.features))}
    reader = Reader(pm, sae, [scan.features[at].index for at in numbers])
    report(f"reading {len(known)} texts of the scan's prompts and {len(fresh)} of others")
    read_known, read_fresh = _present(reader.read(known)), _present(reader.read(fresh))
    slots = Slots([one.pieces for one in read_known])
    drafter = Drafter(read_known, read_fresh, slots, reader.read, settings.seed)
    worded = WordingDrafter(
        read_known,
        read_fresh,
        slots,
        reader,
        [[numbers[at] for at in group.features] for group in groups],
        [group.effect.value for group in groups],
        settings.seed,
    )
    proposing = _Proposing(scan, drafter, worded, numbers, settings)
    for place, group in enumerate(groups, start=1):
        report(f"group {place} of {len(groups)}: {len(proposing.drafts)} drafts so far")
        proposing.of_spans(place, group)
    report("exchanging what texts write in two ways")
    for place, group in enumerate(groups, start=1):
        proposing.of_wordings(place, group)
    return proposing.found()


@dataclass(frozen=True, eq=False)
class _Proposing:
    """The drafts so far, and why groups have none."""

    scan: ScanRecord
    drafter: Drafter
    worded: WordingDrafter
    numbers: Mapping[int, int]
    """Of a feature's place in the scan, its number among those that are read."""
    settings: ProposeSettings
    drafts: list[Draft] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    """Of groups without a draft of a span, by their places."""
    spans: dict[str, frozenset[tuple[int, int]]] = field(default_factory=dict)

    def found(self) -> Proposal:
        """Return the drafts in the order of their groups, and why groups have none."""
        drafted = {draft.place for draft in self.drafts}
        refused = [
            Refused(place, reason) for place, reason in self.reasons.items() if place not in drafted
        ]
        return Proposal(tuple(sorted(self.drafts, key=lambda one: one.place)), tuple(refused))

    def of_spans(self, place: int, group: FeatureGroup) -> None:
        """Keep a draft of a group, of the first of its features that has one, or the reason."""
        if self._full:
            return
        found = [self._drafted(place, group)]
        if len(group.features) > 1 and not _holds(found[0]):
            for at in group.features[:_ALONE]:
                found.append(self._drafted(place, _alone(at, self.scan.features[at])))
                if _holds(found[-1]):
                    break
        draft = next(
            (one for one in found if _holds(one)),
            next((one for one in found if isinstance(one, Draft)), found[0]),
        )
        if isinstance(draft, str):
            self.reasons[place] = draft
            return
        self.drafts.append(draft)
        self.spans[draft.name] = self.drafter.spans(
            [self.numbers[at] for at in draft.group.features]
        )

    def of_wordings(self, place: int, group: FeatureGroup) -> None:
        """Keep a draft of each wording whose gap a group carries, and that no draft has yet."""
        if self._full:
            return
        for found in self.worded.drafts(place - 1, prompts=self.settings.prompts):
            if len(found.pairs) < FEWEST:
                continue
            draft = self._judged(place, group, found)
            if not any(_says_the_same(one, draft) for one in self.drafts):
                self.drafts.append(draft)
            if self._full:
                return

    @property
    def _full(self) -> bool:
        return len(self.drafts) >= self.settings.drafts

    def _drafted(self, place: int, group: FeatureGroup) -> Draft | str:
        """Return a draft with the gap of its own pairs, or why there is none."""
        own = [self.numbers[at] for at in group.features]
        where = self.drafter.spans(own)
        twin = next((name for name, other in self.spans.items() if _same(where, other)), None)
        if twin is not None:
            return f"it is active where the features of {twin} are"
        settings, sign = self.settings, group.effect.value
        found = self.drafter.draft(own, sign=sign, prompts=settings.prompts)
        if isinstance(found, str):
            return found
        if len(found.pairs) < FEWEST:
            return (
                f"its edit fits texts of {len(found.pairs)} held-out prompts, {FEWEST} are needed"
            )
        draft = self._judged(place, group, found)
        twin = next((one.name for one in self.drafts if _says_the_same(one, draft)), None)
        return draft if twin is None else f"its edits are those of {twin}"

    def _judged(self, place: int, group: FeatureGroup, found: Drafted) -> Draft:
        settings, sigma = self.settings, self.scan.sigma
        gaps = np.array([pair.gap for pair in found.pairs]) / sigma
        bootstrap = PromptBootstrap(
            len(gaps), resamples=_RESAMPLES, confidence=settings.confidence, seed=settings.seed
        )
        effect = Effect.RAISES if group.effect.value > 0 else Effect.LOWERS
        features = tuple(self.scan.features[at] for at in group.features)
        name, claim = name_and_claim(found, effect, features, place)
        moved = [_moved(pair) for pair in found.pairs if pair.control is not None]
        return Draft(
            name=_free(name, {draft.name for draft in self.drafts}),
            claim=claim,
            effect=effect,
            place=place,
            group=group,
            features=features,
            drafted=found,
            gap=bootstrap.mean(gaps),
            control=float(np.mean(moved)) / sigma if moved else None,
        )


def _holds(found: Draft | str) -> bool:
    return isinstance(found, Draft) and found.holds


def _alone(at: int, feature: ScannedFeature) -> FeatureGroup:
    """Return a feature as a group of its own."""
    return FeatureGroup(
        features=(at,),
        effect=feature.effect,
        difference=feature.difference,
        moved=feature.moved,
        compared=feature.compared,
        similarity=None,
    )


def _require_same(scan: ScanRecord, data: PairSet, pm: PreferenceModel, sae: Sae) -> None:
    """Refuse data and subjects other than those that were scanned."""
    scanned = scan.subject.saes[0]
    wrong = [
        f"{what} {name} is not that of the scan ({was}); name the same one, or scan again"
        for what, name, was, same in (
            ("the data", data.file, scan.data.file, data.sha256 == scan.data.sha256),
            ("the PM", pm.name, scan.subject.pm, pm.sha256 == scan.subject.pm_sha256),
            ("the SAE", sae.name, scanned.name, sae.sha256 == scanned.sha256),
        )
        if not same
    ]
    if wrong:
        raise AuditError("\n".join(wrong))


def _parts(scan: ScanRecord, data: PairSet, *, seed: int) -> tuple[list[Text], list[Text]]:
    """Return texts of the prompts that were ranked, and of those that took no part.

    Raises:
        AuditError: every prompt took part.

    """
    method, ranked = scan.method, {name for name, _ in scan.sample}
    sampled = {pair.turns for pair in data.pairs if pair.id in ranked}
    parts: tuple[dict[Text, None], dict[Text, None]] = ({}, {})
    for pair in data.pairs:
        held_out = share_of_prompt(pair.turns, seed=method.seed) < method.held_out
        if not held_out and pair.turns not in sampled:
            continue
        for text in (*pair.examples, *pair.counter_examples):
            parts[held_out][Text(pair.turns, text)] = None
    if not parts[1]:
        raise AuditError(
            "the scan held no prompts out, so that drafts cannot be checked on others; "
            "scan again with --held-out 0.2"
        )
    known, fresh = (sorted(part, key=lambda text: rank(seed, repr(text)))[:_READ] for part in parts)
    return known, fresh


def _present(readings: Sequence[Reading | None]) -> list[Reading]:
    return [one for one in readings if one is not None]


def _moved(pair: DraftPair) -> float:
    return 0.0 if pair.control is None else pair.control.reward - pair.counter_example.reward


def _same(one: frozenset[tuple[int, int]], other: frozenset[tuple[int, int]]) -> bool:
    """Whether two groups are strongest at the same or neighbouring pieces of most texts."""
    near = {(text, piece + step) for text, piece in other for step in (-1, 0, 1)}
    return len(one & near) >= _SAME * max(1, min(len(one), len(other)))


def _says_the_same(one: Draft, other: Draft) -> bool:
    """Whether most pairs of two drafts differ in the same words, either way round."""
    mine, others = ([frozenset(pair.shown) for pair in draft.pairs] for draft in (one, other))
    return sum(edit in mine for edit in others) >= _SAME * len(others)


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name that no draft has: the same, or with a number."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)
