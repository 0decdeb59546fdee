"""Draft hypotheses from what a data set's texts write in two ways.

    wordings of the known texts -> each exchanged in some of them
      -> the smallest that surely move the reward -> the group that carries most of each gap
      -> pairs (other prompts) -> gap

A group need not be strongest where texts differ: a feature of full stops may carry what was written
before, and no small edit switches it off.  Here it is enough that its activations, summed over the
text, change the same way in most texts, that the reward then moves as it does in the scan, and that
a part of the gap is gone with the group at the values of the other side.

Wordings and groups are chosen on prompts that took part in the ranking.  The pairs of a draft come
from prompts that did not; of these, a text is left out only if the exchange does not change the
group as in the known texts, never by its reward.  Sign: the example of a pair is the text in which
the group is more active.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from pm_audit.data.sampling import rank
from pm_audit.drafts.edits import Edit, Editor, drawn
from pm_audit.drafts.pairs import Drafted, DraftPair, certainty, with_controls
from pm_audit.drafts.reading import Reader, Reading, Text
from pm_audit.drafts.slots import Slots
from pm_audit.drafts.wordings import Wording, Wordings

_TRIED = 100
"""Wordings that are tried, the commonest first."""

_FIRST, _SECOND = 6, 10
"""Prompts on which all wordings, and then those that may be sure, are tried."""

_FEWEST = 6
"""Prompts in which a wording must be exchanged."""

_MAYBE, _SURE = 2.5, 4.0
"""Standard errors from zero at which more texts are read, and at which a gap is sure."""

_SAME = 0.75
"""Share of texts in which a group must change in the same direction."""

_CARRIED = 0.1
"""Share of the gap that a group must carry."""

_MEASURED = 8
"""Pairs on which that is measured."""

_LEFT = 0.5
"""Share of the group's change that a control may make."""


class Instead(NamedTuple):
    """What is written in place of a wording."""

    filling: str | None
    """Wherever other texts have it in the slot."""
    only: bool
    """Whether nothing else is written."""


_ANYTHING = Instead(None, only=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A text that has a wording, and the same with another in its place."""

    own: Reading
    other: Reading
    edit: Edit

    @property
    def gap(self) -> float:
        """Return the reward of the text with the wording minus that of the other."""
        return self.own.reward - self.other.reward

    def change(self, features: Sequence[int]) -> float:
        """Return how much stronger a group is in the text with the wording, over all of it."""
        return self.own.total(features) - self.other.total(features)


@dataclass(frozen=True, slots=True)
class Carried:
    """A wording and the group that carries most of its gap."""

    wording: Wording
    group: int
    """Its place among the groups."""
    share: float
    """Of the gap, that goes when the group is put at the values of the other side."""
    side: int
    """1 if the group is more active with the wording, -1 if with what stands in its place."""


@dataclass(frozen=True, eq=False)
class WordingDrafter:
    """Drafts hypotheses about groups from the wordings of one data set.

    Args:
        known: readings of the prompts that took part in the ranking.
        fresh: readings of those that did not.
        slots: of the known texts.
        reader: reads further texts.
        groups: by the numbers of their features, the strongest first.
        signs: of their effects in the scan.
        seed: of the order in which texts are tried.

    """

    known: Sequence[Reading]
    fresh: Sequence[Reading]
    slots: Slots
    reader: Reader
    groups: Sequence[Sequence[int]]
    signs: Sequence[float]
    seed: int = 0

    def drafts(self, group: int, *, prompts: int) -> Iterator[Drafted]:
        """Yield drafts about a group, those of which it carries most first.

        Args:
            group: its place among the groups.
            prompts: pairs of a draft at most, each of another prompt.

        """
        for one in self.carried.get(group, ()):
            yield Drafted(one.wording, tuple(self._pairs(one, prompts)))

    @cached_property
    def carried(self) -> Mapping[int, list[Carried]]:
        """The wordings of each group that has any, by the reward that the group carries."""
        found: dict[int, list[tuple[float, Carried]]] = {}
        for wording, exchanges in self.sure.items():
            one = self._carried(wording, exchanges)
            if one is not None:
                moved = one.share * abs(float(np.mean([each.gap for each in exchanges])))
                found.setdefault(one.group, []).append((moved, one))
        return {
            group: [one for _, one in sorted(own, key=lambda each: -each[0])]
            for group, own in found.items()
        }

    @cached_property
    def sure(self) -> dict[Wording, list[Exchange]]:
        """The smallest wordings that surely move the reward, with their exchanges."""
        order = self._ordered(self.known)
        tried = self._exchanged(self._wordings.common(_TRIED), order, prompts=slice(0, _FIRST))
        maybe = [one for one, own in tried.items() if _surely(own) >= _MAYBE]
        more = self._exchanged(maybe, order, prompts=slice(_FIRST, _FIRST + _SECOND))
        sure = {
            one: own
            for one in sorted(maybe, key=lambda one: one.size)
            for own in [tried[one] + more[one]]
            if _surely(own) >= _SURE
        }
        return {
            one: own
            for one, own in sure.items()
            if not any(other.within(one) for other in sure if other.size < one.size)
        }

    @cached_property
    def _wordings(self) -> Wordings:
        return Wordings([one.pieces for one in self.known])

    def _ordered(self, readings: Sequence[Reading]) -> list[Reading]:
        return sorted(readings, key=lambda one: rank(self.seed, repr(one.text)))

    def _exchanged(
        self,
        wordings: Sequence[Wording],
        readings: Sequence[Reading],
        *,
        prompts: slice,
        instead: Instead = _ANYTHING,
    ) -> dict[Wording, list[Exchange]]:
        """Return exchanges of wordings, one in each of some of the prompts that have them.

        Args:
            wordings: that are exchanged.
            readings: of texts, in the order in which they are tried.
            prompts: which of the prompts that have a wording.
            instead: what is written in their place.

        """
        edits = [
            (wording, one, edit)
            for wording in wordings
            for one, edit in list(self._edits(wording, readings, instead).values())[prompts]
        ]
        texts = [Text(one.text.turns, edit.text) for _, one, edit in edits]
        distinct = list(dict.fromkeys(texts))
        after = dict(zip(distinct, self.reader.read(distinct), strict=True))
        found: dict[Wording, list[Exchange]] = {wording: [] for wording in wordings}
        for (wording, one, edit), text in zip(edits, texts, strict=True):
            other = after[text]
            if other is not None:
                found[wording].append(Exchange(one, other, edit))
        return found

    def _edits(
        self, wording: Wording, readings: Sequence[Reading], instead: Instead
    ) -> dict[str, tuple[Reading, Edit]]:
        """Return an edit of each prompt that has a wording, in the order of the readings."""
        found: dict[str, tuple[Reading, Edit]] = {}
        for one in readings:
            name = repr(one.text.turns)
            if name in found:
                continue
            edit = next(self._edits_of(wording, one, instead), None)
            if edit is not None:
                found[name] = one, edit
        return found

    def _edits_of(self, wording: Wording, reading: Reading, instead: Instead) -> Iterator[Edit]:
        pieces, whole = reading.pieces, reading.text.completion
        for spot in self._wordings.spots(pieces, wording):
            others = self._wordings.others(spot)
            preferred = next((one for one in others if one.strip() == instead.filling), None)
            if instead.only and preferred is None:
                continue
            written = drawn(others, (self.seed, spot.first)) if preferred is None else preferred
            begin = pieces.slot(spot.first, spot.stop)[0]
            text = whole[:begin] + (written or "") + whole[begin + len(spot.filling) :]
            if written is not None and text.strip():
                yield Edit(spot.between, spot.filling, written, begin, text)

    def _carried(self, wording: Wording, exchanges: Sequence[Exchange]) -> Carried | None:
        """Return the group that carries most of a gap; None if none carries enough of it."""
        gap = np.sign(np.mean([one.gap for one in exchanges]))
        sides = {
            group: side
            for group, features in enumerate(self.groups)
            for side in [_side(exchanges, features)]
            if side and side * gap == np.sign(self.signs[group])
        }
        if not sides:
            return None
        pairs = [(one.own.text, one.other.text) for one in exchanges[:_MEASURED]]
        shares = self.reader.closed(pairs, [self.groups[group] for group in sides])
        best = int(shares.argmax())
        if shares[best] < _CARRIED:
            return None
        group = list(sides)[best]
        return Carried(wording, group, float(shares[best]), sides[group])

    def _pairs(self, carried: Carried, most: int) -> list[DraftPair]:
        """Return a pair of each fresh prompt that has the wording, or what stands in its place."""
        features, wording = self.groups[carried.group], carried.wording
        order, count = (
            self._ordered(self.fresh),
            Counter(one.edit.written.strip() for one in self.sure[wording]),
        )
        # one filling where the data allow it, so that the pairs differ in one thing
        other = count.most_common(1)[0][0]
        found: dict[str, DraftPair] = {}
        ways = [(wording, other, carried.side), (Wording.of(other), wording.filling, -carried.side)]
        for one, written, side in ways[: 2 if other else 1]:
            left = [reading for reading in order if repr(reading.text.turns) not in found]
            room = slice(0, most - len(found))
            made = self._exchanged(
                [one], left, prompts=room, instead=Instead(written, only=one != wording)
            )
            for each in made[one]:
                if side * each.change(features) > 0:
                    found[repr(each.own.text.turns)] = _pair(each, side)
        editor = Editor(self.slots, self.known, features, np.inf, self.seed)
        quiet = partial(_unmoved, features=features)
        return with_controls(list(found.values()), editor, self.reader.read, quiet)


def _surely(exchanges: Sequence[Exchange]) -> float:
    """Return how far from zero a gap is, in standard errors; 0 if prompts are few."""
    if len(exchanges) < _FEWEST:
        return 0.0
    return abs(certainty([one.gap for one in exchanges]))


def _side(exchanges: Sequence[Exchange], features: Sequence[int]) -> int:
    """Return the side on which a group is more active in most texts; 0 if on neither."""
    signs = np.sign([one.change(features) for one in exchanges])
    return next((side for side in (1, -1) if np.mean(signs == side) >= _SAME), 0)


def _pair(exchange: Exchange, side: int) -> DraftPair:
    example, other = (exchange.own, exchange.other)[::side]
    return DraftPair(example, other, None, exchange.edit, inserted=side < 0)


def _unmoved(pair: DraftPair, control: Reading, *, features: Sequence[int]) -> bool:
    """Whether a control leaves a group nearly as it is in the counter-example."""
    base = pair.counter_example.total(features)
    return abs(control.total(features) - base) <= _LEFT * (pair.example.total(features) - base)
