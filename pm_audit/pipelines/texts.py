"""The texts of a hypothesis, as a PM reads them: a draw of its prompts, or the pairs that fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pm_audit.data import Dialogue, Pair, PairSet, Skipped, SkipReason
from pm_audit.data.sampling import rank
from pm_audit.errors import ModelError, TooLongError
from pm_audit.pipelines.further import BriefText, Further
from pm_audit.records import MethodRecord, PairsEvidence, SkippedRow
from pm_audit.records.pairs import MOST_LISTED
from pm_audit.spec import Case, Hypothesis, draw_prompts, expand, expand_pairs
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.text_format import TokenisedRow

_NAMED = 3
"""Pairs that an error names one by one."""


@dataclass(frozen=True)
class Texts:
    """What is tried."""

    cases: tuple[Case, ...]
    rows: tuple[TokenisedRow, ...]
    """As the PM reads each case."""
    pairs: PairsEvidence | None
    """What was used of a preference set; None if templates gave the texts."""
    further: Further = field(default_factory=Further)
    """Of a large preference set, what is read for its gap alone."""


def texts_of(hypothesis: Hypothesis, pm: PreferenceModel, method: MethodRecord) -> Texts:
    """Return the texts of a hypothesis.

    Raises:
        ModelError: a text of a template is too long for the PM or its format cannot write it, no
            pair is left, or pairs are strict and one of them is such.

    """
    if hypothesis.pair_set is None:
        drawn = draw_prompts(hypothesis, most=method.prompts, seed=method.seed)
        cases = expand(drawn)
        rows = tuple(pm.text_format.tokenise(case.turns, case.text) for case in cases)
        return Texts(cases, rows, None)
    return _of_pairs(hypothesis, hypothesis.pair_set, pm, method)


def _of_pairs(
    hypothesis: Hypothesis, found: PairSet, pm: PreferenceModel, method: MethodRecord
) -> Texts:
    read: dict[tuple[Dialogue, str], BriefText] = {}
    refused: dict[tuple[Dialogue, str], ModelError] = {}
    for case in expand_pairs(found.pairs):
        try:
            text = pm.text_format.tokenise(case.turns, case.text)
        except ModelError as error:
            refused[case.turns, case.text] = error
        else:
            read[case.turns, case.text] = BriefText.of(text)
    skipped = {pair.row: why for pair in found.pairs if (why := _why_not(pair, refused))}
    kept = [pair for pair in found.pairs if pair.row not in skipped]
    strict = hypothesis.pairs is not None and hypothesis.pairs.strict
    if skipped and (strict or not kept):
        raise ModelError(_refusal(hypothesis, found, skipped.values()))
    every = (*found.skipped, *skipped.values())
    left = replace(found, skipped=tuple(sorted(every, key=lambda one: one.row)))
    searched = _drawn(kept, method)
    cases = expand_pairs([pair for pair in kept if pair.turns in searched])
    others = expand_pairs([pair for pair in kept if pair.turns not in searched])
    return Texts(
        cases,
        tuple(pm.text_format.tokenise(case.turns, case.text) for case in cases),
        _evidence(hypothesis, left, used=len(kept)),
        Further(others, tuple(read[case.turns, case.text] for case in others)),
    )


def _drawn(pairs: Sequence[Pair], method: MethodRecord) -> frozenset[Dialogue]:
    """Return the dialogues on which features are searched for: a draw by seed and content."""
    turns = dict.fromkeys(pair.turns for pair in pairs)
    if len(turns) <= method.searched_prompts:
        return frozenset(turns)
    keys = {one: json.dumps([(turn.speaker, turn.text) for turn in one]) for one in turns}
    ranked = sorted(turns, key=lambda one: rank(method.seed, keys[one]))
    return frozenset(ranked[: method.searched_prompts])


def _why_not(pair: Pair, refused: dict[tuple[Dialogue, str], ModelError]) -> Skipped | None:
    for text in (*pair.examples, *pair.counter_examples):
        error = refused.get((pair.turns, text)) if refused else None
        if error is not None:
            long = isinstance(error, TooLongError)
            reason = SkipReason.TOO_LONG if long else SkipReason.REFUSED
            return Skipped(pair.row, reason, str(error))
    return None


def _refusal(hypothesis: Hypothesis, found: PairSet, skipped: Iterable[Skipped]) -> str:
    every = list(skipped)
    named = "; ".join(f"row {one.row}: {one.detail}" for one in every[:_NAMED])
    return (
        f"{hypothesis.file}:{hypothesis.line_of('pairs')}: the PM cannot read {len(every):,} of "
        f"the {len(found.pairs):,} pairs of {found.file}, so none is judged: {named}; leave these "
        "rows out, or take another text_format"
    )


def _evidence(hypothesis: Hypothesis, found: PairSet, *, used: int) -> PairsEvidence:
    sample = None if hypothesis.pairs is None else hypothesis.pairs.sample
    return PairsEvidence(
        file=found.file,
        sha256=found.sha256,
        rows=found.rows,
        excluded=found.excluded,
        used=used,
        skipped={why.value: count for why, count in found.skipped_by_reason().items()},
        listed=tuple(
            SkippedRow(row=one.row, reason=one.reason.value, detail=one.detail)
            for one in found.skipped[:MOST_LISTED]
        ),
        sample_seed=None if sample is None else sample.seed,
        sample_by=None if sample is None else sample.by,
    )
