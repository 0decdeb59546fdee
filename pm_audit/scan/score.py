"""Rewards of both sides of every comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import finite_rewards
from pm_audit.forward.trace import rewards as grid_rewards
from pm_audit.scan.compared import Comparison, Sides, portions, tokenised
from pm_audit.scan.task import Subject
from pm_audit.subject.plain import plain_rewards
from pm_audit.subject.preference_model import PreferenceModel, Readout


class Scored(NamedTuple):
    """What was read of one comparison, or why it was not."""

    chosen: float
    """Reward, raw."""
    rejected: float
    chosen_tokens: int
    """Tokens of the completion, with those that the format writes after it."""
    rejected_tokens: int
    prompt_tokens: int
    shared_tokens: int
    """Tokens with which both completions begin."""
    refused: str = ""
    """Why the PM cannot read it; the numbers are then zero."""

    @property
    def difference(self) -> float:
        """Return the chosen reward minus the rejected one."""
        return self.chosen - self.rejected


@dataclass(frozen=True)
class ScoreTask:
    """The rewards of a shard."""

    compared: tuple[Comparison, ...]
    budget: int
    """Tokens that are read at once."""
    stage: str = "score"

    def content(self) -> object:
        """Return the texts."""
        return [self.budget, [one.content() for one in self.compared]]

    def run(self, subject: Subject) -> bytes:
        """Return one ``Scored`` a comparison, as JSON."""
        pm = subject.pm
        read = [tokenised(pm, one) for one in self.compared]
        sides = [own for own in read if isinstance(own, Sides)]
        both = zip(self.compared, read, strict=True)
        turns = [one.turns for one, own in both if isinstance(own, Sides)]
        number = {one: place for place, one in enumerate(dict.fromkeys(turns))}
        rewards: list[float] = []
        for portion in portions(sides, self.budget):
            rows = [
                Row(number[turns[at]], text.token_ids, text.completion_start)
                for at in portion
                for text in sides[at].texts
            ]
            rewards += read_rewards(pm, rows).tolist()
        found = iter(zip(sides, rewards[::2], rewards[1::2], strict=True))
        return json.dumps(
            [
                Scored(0.0, 0.0, 0, 0, 0, 0, one) if isinstance(one, str) else _scored(*next(found))
                for one in read
            ]
        ).encode()


def scored(results: Sequence[bytes]) -> list[Scored]:
    """Return what the tasks read, in the order of their comparisons."""
    return [Scored(*one) for result in results for one in json.loads(result)]


def read_rewards(pm: PreferenceModel, rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Return rewards [row]; rows of one prompt share its tokens where the PM allows it."""
    if pm.readout is not Readout.FIRST:
        return grid_rewards(pm, Grid(tuple(rows)))
    # an encoder's tokens see all others, so that nothing is shared
    read = plain_rewards(pm, [row.token_ids for row in rows])
    return finite_rewards(read.double().numpy())


def _scored(sides: Sides, chosen: float, rejected: float) -> Scored:
    first = min(text.completion_start for text in sides.texts)
    one, other = (len(text.token_ids) - text.completion_start for text in sides.texts)
    return Scored(chosen, rejected, one, other, first, sides.start - first)
