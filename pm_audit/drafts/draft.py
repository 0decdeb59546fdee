"""Draft one hypothesis about a group of features.

    texts on which the group is active -> rules that switch it off -> the rule with the surest
    effect (prompts of the scan's ranking) -> pairs and controls (other prompts) -> gap

Rules are compared on prompts that took part in the ranking.  The pairs of a draft come from
prompts that did not; of these, a text is left out only if the edit does not switch the group, never
by its reward.  Sign: the example of a pair is the text in which the group is active.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pm_audit.data.sampling import rank
from pm_audit.drafts.edits import RULES, Edit, Editor, Rule, common
from pm_audit.drafts.pairs import Drafted, DraftPair, Read, certainty, with_controls
from pm_audit.drafts.reading import Reading, Text
from pm_audit.drafts.slots import Slots

_ON, _QUIET = 0.4, 0.2
"""Shares of a group's usual strongest piece: active from the one, inactive below the other."""

_LEFT = 0.5
"""Share of a text's strength that may be left when the group is switched off."""

_FIRST, _SECOND = 6, 12
"""Texts on which all rules, and then the best of them, are tried."""

_FEWEST = 4
"""Texts in which a rule must switch the group."""

_MOSTLY = 0.6
"""Share of its texts in which it must."""

_BEST = 2
"""Rules that are tried on more texts: the smallest, and the surest."""

_SURE = 4.0
"""Standard errors from zero at which a rule is as good as a larger one."""


@dataclass(frozen=True, eq=False)
class Drafter:
    """Drafts hypotheses about groups from one data set.

    Args:
        known: readings of the prompts that took part in the ranking.
        fresh: readings of those that did not.
        read: reads further texts.
        seed: of the order in which texts are tried.

    """

    known: Sequence[Reading]
    fresh: Sequence[Reading]
    slots: Slots
    """Of the known texts."""
    read: Read
    seed: int = 0

    def draft(self, features: Sequence[int], *, sign: float, prompts: int) -> Drafted | str:
        """Return a draft, or why there is none.

        Args:
            features: the group, by the numbers of its features.
            sign: of its effect in the scan.
            prompts: pairs of the draft at most, each of another prompt.

        """
        usual = self.usual(features)
        if usual == 0.0:
            return "its features are active on no word of the texts"
        active = self._of_prompts(self.known, features, least=_ON * usual)
        if len(active) < _FEWEST:
            return f"its features are active in texts of {len(active)} prompts alone"
        editor = Editor(self.slots, self.known, features, _QUIET * usual, self.seed)
        chosen = self._choose(editor, active, sign)
        if chosen is None:
            return "no small edit switches it and moves the reward as it does in the scan"
        rule, tried = chosen
        pairs = self._fresh_pairs(editor, rule, [one.edit for one in tried], usual, prompts)
        quiet = partial(_switched_off, features=features)
        return Drafted(rule, tuple(with_controls(pairs, editor, self.read, quiet)))

    def usual(self, features: Sequence[int]) -> float:
        """Return how strong a group is at the strongest piece of most texts that have it."""
        strongest = [one.strongest(features) for one in self.known]
        found = [value for value in strongest if value > 0]
        return float(np.quantile(found, 0.9)) if found else 0.0

    def spans(self, features: Sequence[int]) -> frozenset[tuple[int, int]]:
        """Return the strongest piece of each known text in which the group is active."""
        least = _ON * self.usual(features)
        return frozenset(
            (number, int(one.strength(features).argmax()))
            for number, one in enumerate(self.known)
            if one.strongest(features) >= max(least, 1e-9)
        )

    def _of_prompts(
        self, readings: Sequence[Reading], features: Sequence[int], *, least: float
    ) -> list[Reading]:
        """Return one active text of each prompt, in a seeded order."""
        order = sorted(readings, key=lambda one: rank(self.seed, repr(one.text)))
        own = [one for one in order if one.strongest(features) >= least]
        return list({repr(one.text.turns): one for one in reversed(own)}.values())[::-1]

    def _choose(
        self, editor: Editor, active: Sequence[Reading], sign: float
    ) -> tuple[Rule, list[DraftPair]] | None:
        """Return the smallest rule that is sure to move the reward by ``sign``, and its pairs."""
        first, second = active[:_FIRST], active[_FIRST : _FIRST + _SECOND]
        found = self._tried(editor, RULES, first)
        scores = {rule: _certainty(pairs, len(first), sign) for rule, pairs in found.items()}
        best = sorted((rule for rule in RULES if scores[rule] > 0), key=scores.__getitem__)[-_BEST:]
        smallest = [rule for rule in RULES if scores[rule] > 0][:_BEST]
        tried = list(dict.fromkeys([*smallest, *best]))
        for rule, pairs in self._tried(editor, tried, second).items():
            found[rule] = found[rule] + pairs
            scores[rule] = _certainty(found[rule], len(first) + len(second), sign)
        # RULES are in order of size: the first that is sure enough is minimal
        sure = [rule for rule in RULES if rule in tried and scores[rule] >= _SURE]
        left = sure[:1] or sorted(tried, key=scores.__getitem__)[-1:]
        if not left or scores[left[0]] <= 1:
            return None
        return left[0], found[left[0]]

    def _tried(
        self,
        editor: Editor,
        rules: Sequence[Rule],
        readings: Sequence[Reading],
        *,
        prefer: str | None = None,
    ) -> dict[Rule, list[DraftPair]]:
        """Return the pairs that each rule makes of texts, of those that it switches off."""
        edits = [
            (rule, one, editor.edit(one, rule, prefer=prefer)) for rule in rules for one in readings
        ]
        made = [(rule, one, edit) for rule, one, edit in edits if edit is not None]
        texts = [Text(one.text.turns, edit.text) for _, one, edit in made]
        distinct = list(dict.fromkeys(texts))
        after = dict(zip(distinct, self.read(distinct), strict=True))
        pairs: dict[Rule, list[DraftPair]] = {rule: [] for rule in rules}
        for (rule, one, edit), text in zip(made, texts, strict=True):
            other = after[text]
            before = one.strongest(editor.features)
            if other is not None and other.strongest(editor.features) <= _LEFT * before:
                pairs[rule].append(DraftPair(one, other, None, edit, inserted=False))
        return pairs

    def _fresh_pairs(
        self, editor: Editor, rule: Rule, edits: Sequence[Edit], usual: float, most: int
    ) -> list[DraftPair]:
        """Return a pair of each fresh prompt: its own text edited, or the span put into one."""
        active = self._of_prompts(self.fresh, editor.features, least=_ON * usual)
        # one filling where the data allow it, so that the pairs differ in one thing
        written = Counter(edit.written for edit in edits)
        pairs = self._tried(editor, [rule], active[:most], prefer=written.most_common(1)[0][0])[
            rule
        ]
        have = {repr(one.example.text.turns) for one in pairs}
        order = sorted(self.fresh, key=lambda one: rank(self.seed, repr(one.text)))
        lacking = [
            (one, edit)
            for one in order
            if repr(one.text.turns) not in have and one.strongest(editor.features) < _ON * usual
            for edit in [editor.insert(one, common(edits))]
            if edit is not None
        ]
        texts = [Text(one.text.turns, edit.text) for one, edit in lacking[: 2 * most]]
        for (one, edit), other in zip(lacking, self.read(texts), strict=False):
            name = repr(one.text.turns)
            if other is None or name in have or len(pairs) == most:
                continue
            strongest = other.strongest(editor.features)
            if strongest >= _ON * usual and one.strongest(editor.features) <= _LEFT * strongest:
                have.add(name)
                pairs.append(DraftPair(other, one, None, edit, inserted=True))
        return pairs


def _switched_off(pair: DraftPair, text: Reading, *, features: Sequence[int]) -> bool:
    """Whether a group is about as weak in a text as in the counter-example of a pair."""
    return text.strongest(features) <= _LEFT * pair.example.strongest(features)


def _certainty(pairs: Sequence[DraftPair], texts: int, sign: float) -> float:
    """Return the mean gap in the direction of ``sign`` in standard errors; -inf if pairs are few.

    Pairs are few if the rule switches the group in less than ``_MOSTLY`` of the texts.
    """
    if len(pairs) < max(_FEWEST, _MOSTLY * texts):
        return -np.inf
    return certainty([np.sign(sign) * pair.gap for pair in pairs])
