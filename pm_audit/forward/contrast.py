"""A hypothesis as a linear functional of rewards.

The gap of a set of prompts is the mean over prompts of (mean reward of the examples minus mean
reward of the counter-examples), so it is one dot product of the rewards with fixed weights.  The
same weights turn attributions into attributions of the gap, and single effects into effects on
the gap.  Controls weigh nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pm_audit.records import Role

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Contrast:
    """Which prompt and role each row of a grid has."""

    prompt: Integers
    """[row], index of the prompt, the unit of inference."""
    role: Sequence[Role]
    """[row]"""
    variant: Integers | None = None
    """[row], index of the row's template within its role: its phrasing; one each for None."""

    def phrasings(self, role: Role) -> dict[int, Mask]:
        """Return which rows [row] have each phrasing of a role, in order."""
        own = self.has_role(role)
        variant = np.zeros(len(own), dtype=np.int64) if self.variant is None else self.variant
        return {int(one): own & (variant == one) for one in np.unique(variant[own])}

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return int(self.prompt.max()) + 1

    def has_role(self, *roles: Role, prompts: Iterable[int] | None = None) -> Mask:
        """Return which rows of these prompts (all for None) have one of these roles, [row]."""
        rows = np.array([role in roles for role in self.role], dtype=bool)
        return rows if prompts is None else rows & self.of_prompts(prompts)

    def of_prompts(self, prompts: Iterable[int]) -> Mask:
        """Return which rows belong to these prompts, [row]."""
        return np.isin(self.prompt, np.array(list(prompts), dtype=np.int64))

    def one_of_each(self, *, among: Mask | None = None) -> Mask:
        """Return one row of each prompt and role, [row]: the phrasings are taken in turn.

        With ``among`` [row], only of the marked rows: of a prompt whose turn is not marked, the
        next one that is.
        """
        chosen = np.zeros(len(self.prompt), dtype=bool)
        for role in sorted(set(self.role)):
            has_role = self.has_role(role)
            for turn, prompt in enumerate(np.unique(self.prompt[has_role])):
                rows = np.flatnonzero(has_role & (self.prompt == prompt))
                rows = np.roll(rows, -(turn % len(rows)))
                marked = rows if among is None else rows[among[rows]]
                chosen[marked[:1]] = True
        return chosen

    def weights(self, prompts: Iterable[int], *, among: Mask | None = None) -> Floats:
        """Return the weights [row] whose dot product with rewards is the gap over ``prompts``.

        With ``among`` [row], only the marked rows count, each for its prompt and role.
        """
        chosen = sorted(set(prompts))
        weights = np.zeros(len(self.prompt))
        for sign, role in ((1.0, Role.EXAMPLE), (-1.0, Role.COUNTER_EXAMPLE)):
            has_role = self.has_role(role) if among is None else self.has_role(role) & among
            for prompt in chosen:
                rows = has_role & (self.prompt == prompt)
                if rows.any():
                    weights[rows] = sign / (rows.sum() * len(chosen))
        return weights

    def gap_by_prompt(self, rewards: Floats, *, among: Mask | None = None) -> Floats:
        """Return each prompt's gap, [prompt], raw reward; ``rewards`` is [row].

        With ``among`` [row], only the marked rows count; each prompt needs one of either side.
        """
        examples, others = self.has_role(Role.EXAMPLE), self.has_role(Role.COUNTER_EXAMPLE)
        if among is not None:
            examples, others = examples & among, others & among
        return self.mean_by_prompt(rewards, examples) - self.mean_by_prompt(rewards, others)

    def mean_by_prompt(self, values: Floats, rows: Mask) -> Floats:
        """Return the mean of ``values`` [row] over the marked rows of each prompt, [prompt]."""
        total = np.bincount(self.prompt[rows], values[rows], minlength=self.prompts)
        return np.asarray(total / np.bincount(self.prompt[rows], minlength=self.prompts))
