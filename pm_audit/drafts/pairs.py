"""The pairs of a draft: texts with a group active and without, and controls.

A control is the counter-example with an edit of the same size elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pm_audit.drafts.edits import Edit, Editor, Rule
from pm_audit.drafts.reading import Reading, Text
from pm_audit.drafts.wordings import Wording

Read = Callable[[Sequence[Text]], list[Reading | None]]

_CONTROLS = 3
"""Places of a control that are tried in a text."""


@dataclass(frozen=True, slots=True)
class DraftPair:
    """A prompt's texts: with the group active, without, and a control."""

    example: Reading
    counter_example: Reading
    control: Reading | None
    """The counter-example with an edit of the same size elsewhere that leaves the group alone."""
    edit: Edit
    """What was removed from the example, or put into the counter-example."""
    inserted: bool
    """Whether the data's own text is the counter-example."""

    @property
    def gap(self) -> float:
        """Return the reward of the example minus that of the counter-example."""
        return self.example.reward - self.counter_example.reward

    @property
    def shown(self) -> tuple[str, str]:
        """What the example has and what the counter-example has in its place."""
        removed, written = self.edit.shown
        return (written, removed) if self.inserted else (removed, written)


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was drafted about a group."""

    rule: Rule | Wording
    pairs: tuple[DraftPair, ...]
    """Pairs of prompts that took no part, one a prompt."""


Quiet = Callable[[DraftPair, Reading], bool]
"""Whether a text leaves the group as it is in the counter-example of a pair."""


def with_controls(
    pairs: Sequence[DraftPair], editor: Editor, read: Read, quiet: Quiet
) -> list[DraftPair]:
    """Return pairs with a control each, if one of a few edits elsewhere leaves the group alone."""
    generator = np.random.default_rng(editor.seed)
    tried: list[tuple[int, Text]] = []
    for number, pair in enumerate(pairs):
        other = pair.counter_example
        places = generator.permutation(len(other.pieces)).tolist()
        of_pair = list(editor.elsewhere(other, pair.edit, places))[:_CONTROLS]
        tried += [(number, Text(other.text.turns, edit.text)) for edit in of_pair]
    controls: dict[int, Reading] = {}
    for (number, _), control in zip(tried, read([text for _, text in tried]), strict=True):
        pair = pairs[number]
        if control is None or control.text == pair.example.text:
            continue
        if quiet(pair, control):
            controls.setdefault(number, control)
    return [replace(pair, control=controls.get(number)) for number, pair in enumerate(pairs)]


def certainty(gaps: Sequence[float]) -> float:
    """Return the mean of gaps in standard errors."""
    values = np.array(gaps)
    return float(values.mean() / max(values.std(ddof=1) / np.sqrt(len(values)), 1e-9))
