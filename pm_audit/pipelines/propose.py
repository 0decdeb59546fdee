"""Draft hypotheses from a scan, top to bottom.

    scan, data, subject -> texts of the scan's prompts and of others, read
      -> for each of the strongest groups: the edit that switches it, its pairs on other prompts
      -> gap of these pairs -> name and claim -> YAML that loads

No language model is needed; a command of the user's can give drafts other names and claims.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pm_audit.data import PairSet
from pm_audit.data.sampling import rank
from pm_audit.drafts.draft import Drafted, Drafter, DraftPair
from pm_audit.drafts.reading import Reader, Reading, Text
from pm_audit.drafts.slots import Slots
from pm_audit.drafts.written import Draft, Proposal, Refused, name_and_claim
from pm_audit.errors import AuditError
from pm_audit.pipelines import label_command
from pm_audit.records.scan import FeatureGroup, ScannedFeature, ScanRecord
from pm_audit.scanning.compared import share_of_prompt
from pm_audit.spec import Effect
from pm_audit.spec.written import Name
from pm_audit.spec.written import Text as Claim
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

_RESAMPLES = 2_000

_COMMAND = "name_command"
"""What names the command of the user's, for messages."""


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
    drafter = Drafter(
        read_known,
        read_fresh,
        Slots([one.pieces for one in read_known]),
        reader.read,
        settings.seed,
    )
    drafts: list[Draft] = []
    refused: list[Refused] = []
    spans: dict[str, frozenset[tuple[int, int]]] = {}
    for place, group in enumerate(groups, start=1):
        if len(drafts) == settings.drafts:
            break
        report(f"group {place} of {len(groups)}: {len(drafts)} drafts so far")
        own = [numbers[at] for at in group.features]
        where = drafter.spans(own)
        twin = next((name for name, other in spans.items() if _same(where, other)), None)
        if twin is not None:
            refused.append(Refused(place, f"it is active where the features of {twin} are"))
            continue
        found = drafter.draft(own, sign=group.effect.value, prompts=settings.prompts)
        features = tuple(scan.features[at] for at in group.features)
        draft = _judged(found, place, group, features, scan.sigma, settings)
        if isinstance(draft, Draft):
            draft = _named_once(draft, spans)
            twin = next((one.name for one in drafts if _says_the_same(one, draft)), None)
            draft = draft if twin is None else f"its edits are those of {twin}"
        if isinstance(draft, str):
            refused.append(Refused(place, draft))
            continue
        drafts.append(draft)
        spans[draft.name] = where
    return Proposal(tuple(drafts), tuple(refused))


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


def _judged(
    found: Drafted | str,
    place: int,
    group: FeatureGroup,
    features: tuple[ScannedFeature, ...],
    sigma: float,
    settings: ProposeSettings,
) -> Draft | str:
    """Return a draft with the gap of its own pairs, or why there is none."""
    if isinstance(found, str):
        return found
    if len(found.pairs) < FEWEST:
        return f"its edit fits texts of {len(found.pairs)} held-out prompts, {FEWEST} are needed"
    gaps = np.array([pair.gap for pair in found.pairs]) / sigma
    bootstrap = PromptBootstrap(
        len(gaps), resamples=_RESAMPLES, confidence=settings.confidence, seed=settings.seed
    )
    effect = Effect.RAISES if group.effect.value > 0 else Effect.LOWERS
    name, claim = name_and_claim(found, effect, features, place)
    moved = [_moved(pair) for pair in found.pairs if pair.control is not None]
    return Draft(
        name=name,
        claim=claim,
        effect=effect,
        place=place,
        group=group,
        features=features,
        drafted=found,
        gap=bootstrap.mean(gaps),
        control=float(np.mean(moved)) / sigma if moved else None,
    )


def _moved(pair: DraftPair) -> float:
    return 0.0 if pair.control is None else pair.control.reward - pair.counter_example.reward


def _same(one: frozenset[tuple[int, int]], other: frozenset[tuple[int, int]]) -> bool:
    """Whether two groups are strongest at the same or neighbouring pieces of most texts."""
    near = {(text, piece + step) for text, piece in other for step in (-1, 0, 1)}
    return len(one & near) >= _SAME * max(1, min(len(one), len(other)))


def _says_the_same(one: Draft, other: Draft) -> bool:
    """Whether most pairs of two drafts differ in the same words, either way round."""
    mine, others = ([frozenset(pair.edit.shown) for pair in draft.pairs] for draft in (one, other))
    return sum(edit in mine for edit in others) >= _SAME * len(others)


def _named_once(draft: Draft, taken: Collection[str]) -> Draft:
    name, number = draft.name, 1
    while name in taken:
        number += 1
        name = f"{draft.name}-{number}"
    return replace(draft, name=name)


def require_command(command: str, root: Path) -> None:
    """Raise an ``AuditError`` if a command that names drafts is not there."""
    label_command.program(command, root, setting=_COMMAND)


class _Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    draft: str
    name: Name | None = None
    claim: Claim | None = None


def renamed(proposal: Proposal, command: str, *, root: Path, seconds: float = 600.0) -> Proposal:
    """Return the proposal with the names and claims that a command of the user's gives.

    The command reads a line of JSON for each draft and writes ``{"draft": NAME, "name": ...,
    "claim": ...}`` for those that it renames; either may be left out.

    Raises:
        AuditError: the command cannot be run, fails, or writes something else.

    """
    known = {draft.name: draft for draft in proposal.drafts}
    lines = label_command.answers(
        command,
        [_asked(draft) for draft in proposal.drafts],
        root=root,
        seconds=seconds,
        setting=_COMMAND,
    )
    for number, line in lines:
        try:
            answer = _Renamed.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]["msg"]
            raise AuditError(
                f"{_COMMAND}: line {number} of its output is no draft with a name: {fault}"
            ) from None
        if answer.draft not in known:
            raise AuditError(f"{_COMMAND}: line {number}: no draft is called {answer.draft!a}")
        draft = known[answer.draft]
        claim = answer.claim or draft.claim
        known[answer.draft] = replace(draft, name=answer.name or draft.name, claim=claim)
    names = [draft.name for draft in known.values()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AuditError(f"{_COMMAND}: several drafts are called {', '.join(twice)}")
    return replace(proposal, drafts=tuple(known.values()))


def _asked(draft: Draft) -> dict[str, Any]:
    """Return what a command reads of a draft."""
    return {
        "draft": draft.name,
        "claim": draft.claim,
        "effect": draft.effect.value,
        "gap": draft.gap.value,
        "labels": [feature.label.text for feature in draft.features if feature.label],
        "pairs": [
            {
                "prompt": pair.example.text.turns[-1].text,
                "example": pair.example.text.completion,
                "counter_example": pair.counter_example.text.completion,
            }
            for pair in draft.pairs
        ],
    }
