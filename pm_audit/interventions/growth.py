"""Growing a set by measured ablation, a feature at a time.

Single effects do not add up: two features may carry the same evidence (together they do less than
the sum) or gate one another (together they do more), and the largest ones together overshoot.  So
every step is decided by joint ablations.  Attribution says, row by row, what each candidate would
change next; the moves that promise most are tried on a sample of the rows, and the best of them is
measured on all rows and made if it lowers the objective.  First features join one after the other;
then single features may leave or change places with a candidate outside.  What a trial measured
takes attribution's place for the trials after it.

Figures here are those of the rows that the search sees; what the set is worth is measured
elsewhere, on prompts that the search has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Floats, Integers
from pm_audit.interventions.objective import Objective

Members = tuple[int, ...]
"""Numbers of candidates, in the order in which they joined."""

Replay = Callable[[Sequence[Members], Integers], Floats]
"""(sets, indices of the objective's rows) -> rewards [set row] after each set was replaced."""

LEAST_GAIN = 0.01
"""By how much a move must lower the objective."""

MEASURED = 2
"""Moves of a step that are measured on all rows at most."""

REPAIRS = 4
"""Rounds in which features may leave or change places."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A set, and what was measured while it grew."""

    selected: Members
    closures: tuple[float, ...]
    """Closure, a share of the gap, after each move that was made."""
    collaterals: tuple[float, ...]
    """Collateral after each of these moves, as a share of the gap."""
    trials: tuple[tuple[float, float], ...]
    """Change of the gap by each feature that was measured on top of a set: predicted, measured."""


def grow(
    objective: Objective, predicted: Floats, replay: Replay, *, most: int, trials: int
) -> Growth:
    """Return a set of at most ``most`` candidates that makes the objective small.

    Args:
        objective: what is made small.
        predicted: [candidate row], contribution that each is predicted to have.
        replay: measures sets.
        most: features at most.
        trials: moves tried in a step.

    """
    search = _Search(objective, predicted, replay, trials)
    while len(search.selected) < most and search.step(search.additions()):
        pass
    for _ in range(REPAIRS):
        if not search.selected or not search.step(search.repairs(most)):
            break
    return Growth(
        search.selected, tuple(search.closures), tuple(search.collaterals), tuple(search.tried)
    )


Move = tuple[Members, Floats]
"""A set, and the rewards [row] that it is predicted to leave."""


class _Search:
    """A set that changes by one measured move after the other."""

    def __init__(
        self, objective: Objective, contributions: Floats, replay: Replay, trials: int
    ) -> None:
        self.objective, self.replay, self.trials = objective, replay, trials
        self.attributed = contributions
        self.contributions = contributions.copy()
        self.selected: Members = ()
        self.rewards = objective.clean
        self.closures: list[float] = []
        self.collaterals: list[float] = []
        self.tried: list[tuple[float, float]] = []
        self.measured: set[frozenset[int]] = set()

    def additions(self) -> Iterator[Move]:
        """Yield the set with each candidate outside it."""
        for one in self._outside():
            yield (*self.selected, one), self.rewards - self.contributions[one]

    def repairs(self, most: int) -> Iterator[Move]:
        """Yield every set that differs by one feature, by two that join or by an exchange."""
        if len(self.selected) < most:
            yield from self.additions()
        if len(self.selected) + 1 < most:
            yield from self._pairs()
        for leaves in self.selected:
            rest = tuple(one for one in self.selected if one != leaves)
            rewards = self.rewards + self.contributions[leaves]
            if rest:
                yield rest, rewards
            for one in self._outside():
                yield (*rest, one), rewards - self.contributions[one]

    def _pairs(self) -> Iterator[Move]:
        """Yield the set with two more, one that lowers the gap and one that raises it.

        Either alone may lead away from the gap's closure, and both together to it.
        """
        outside, shares = self._outside(), self.contributions @ self.objective.weights
        for one in outside:
            for other in outside:
                if shares[one] > 0 > shares[other]:
                    after = self.rewards - self.contributions[one] - self.contributions[other]
                    yield (*self.selected, one, other), after

    def step(self, moves: Iterator[Move]) -> bool:
        """Try the most promising moves and make the best; return whether one was made."""
        untried = [move for move in moves if frozenset(move[0]) not in self.measured]
        if not untried:
            return False
        promise = self.objective.value(np.stack([after for _, after in untried]))
        best = np.argsort(promise, kind="stable")[: self.trials]
        chosen, expected = zip(*(untried[at] for at in best), strict=True)
        self.measured.update(map(frozenset, chosen))
        sample = self.objective.sample
        rewards = np.stack(expected)
        rewards[:, sample] = self.replay(chosen, sample)
        for members, after in zip(chosen, rewards, strict=True):
            self._learn(members, after, sample)
        values, enough = self.objective.value(rewards), self._enough()
        for at in np.argsort(values, kind="stable")[:MEASURED]:
            if values[at] <= enough and self._made(chosen[at]):
                return True
        return False

    def _enough(self) -> float:
        """Return the largest objective that makes a move worth making."""
        return float(self.objective.value(self.rewards)) - LEAST_GAIN

    def _made(self, members: Members) -> bool:
        """Measure a move on all rows, and make it if it is good enough."""
        everywhere = np.arange(len(self.objective.rows))
        after = self.replay([members], everywhere)[0]
        self._learn(members, after, everywhere)
        if not self.objective.value(after) <= self._enough():
            return False
        self.selected, self.rewards = members, after
        self.closures.append(1 - float(self.objective.residual(after)))
        self.collaterals.append(float(self.objective.collateral(after)))
        return True

    def _learn(self, members: Members, after: Floats, measured: Integers) -> None:
        """Let a trial of one feature on top of the set say what it does on the measured rows."""
        if set(members[:-1]) != set(self.selected):
            return
        one, weights = members[-1], self.objective.weights
        self.contributions[one, measured] = (self.rewards - after)[measured]
        if len(measured) == len(weights):
            pair = (weights @ self.attributed[one], weights @ self.contributions[one])
            self.tried.append((float(pair[0]), float(pair[1])))

    def _outside(self) -> list[int]:
        return [one for one in range(len(self.contributions)) if one not in self.selected]
