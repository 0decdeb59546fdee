"""What an auditor receives and returns, and the registry of auditors.

An auditor is a function of an ``Audited`` that returns claims.  ``python -m benchmarks.game --tune
--only NAME --add NAME=MODULE:FUNCTION`` chooses its cutoff on development organisms; the game then
plays it next to the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.game.organisms import Organism
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.scale import measure_scale
from pm_audit.forward.trace import trace

BUDGET = 1_500_000
"""Tokens through a block that an auditor may compute in one organism, gradients not counted: about
sixty readings of all its texts."""


@dataclass(frozen=True)
class Claim:
    """That something in an answer moves the reward."""

    latent: int | None
    """That carries it."""
    text: str | None
    """A word or mark that shows it."""
    sign: int
    """1 if it raises the reward, -1 if it lowers it."""
    confidence: float
    """Claims below the auditor's cutoff are not made."""


class BudgetSpentError(Exception):
    """An auditor computed more than its budget."""


class Meter:
    """Counts tokens through blocks, and stops what exceeds a budget."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget, self.spent = budget, 0

    @contextmanager
    def on(self, organism: Organism) -> Iterator[None]:
        """Count all that runs through an organism's blocks."""

        def count(_module, given, _found):
            self.spent += given[0].shape[:-1].numel()
            if self.spent > self.budget:
                raise BudgetSpentError(f"{self.spent} tokens through a block, not {self.budget}")

        hooks = [block.mlp.register_forward_hook(count) for block in organism.pm.decoder.blocks]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@dataclass(frozen=True, eq=False)
class Audited:
    """An organism as an auditor sees it."""

    organism: Organism

    @property
    def generator(self) -> np.random.Generator:
        """A random generator of the organism's own."""
        digest = hashlib.sha256(self.organism.name.encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    @cached_property
    def _trace(self):
        pm, rows = self.organism.pm, []
        for number, pair in enumerate(self.organism.pairs.pairs):
            for text in (pair.examples[0], pair.counter_examples[0]):
                row = pm.text_format.tokenise(pair.turns, text)
                rows.append(Row(number, row.token_ids, row.completion_start, row.completion_stop))
        return trace(pm, [self.organism.sae], Grid(tuple(rows)))

    @property
    def rewards(self) -> np.ndarray:
        """[text], the first of each pair and then the second."""
        return self._trace.rewards

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of the PM's rewards over fixed ordinary completions."""
        return measure_scale(self.organism.pm).sigma

    @property
    def sae(self):
        """The SAE."""
        return self.organism.sae

    @cached_property
    def streams(self) -> np.ndarray:
        """[text hidden], mean of the stream after the SAE's block over the answer."""
        return self.mean(self.stream.double())

    @cached_property
    def activations(self) -> np.ndarray:
        """[text latent], mean activation over the answer."""
        own = self._trace.features[self.sae.name]
        dense = torch.zeros(len(own.scale), self.sae.width, dtype=torch.float64)
        dense[own.token, own.latent] = own.value.double()
        return self.mean(dense)

    @property
    def stream(self) -> torch.Tensor:
        """[token hidden], the stream after the SAE's block at the tokens of all answers."""
        return self._trace.streams[self.sae.layer]

    def mean(self, values: torch.Tensor) -> np.ndarray:
        """Return the means over each answer [text value] of values by token [token value]."""
        row = torch.from_numpy(self._trace.row_of_token())
        total = torch.zeros(len(self.rewards), values.shape[1], dtype=torch.float64)
        total.index_add_(0, row, values)
        return (total / torch.bincount(row)[:, None]).numpy()

    def word(self, latent: int) -> str | None:
        """Return the word or mark on which a latent is most active, on average."""
        own, grid = self._trace.features[self.sae.name], self._trace.grid
        at = (own.latent == latent).nonzero()[:, 0]
        if not len(at):
            return None
        tokens = np.concatenate(
            [row.token_ids[row.completion_start : row.completion_stop] for row in grid.rows]
        )[own.token[at].numpy()]
        value = own.value[at].double().numpy()
        ids, inverse = np.unique(tokens, return_inverse=True)
        strongest = ids[(np.bincount(inverse, value) / np.bincount(inverse)).argmax()]
        return self.organism.pm.text_format.token_name(int(strongest)).strip(" Ġ▁")


Auditor = Callable[[Audited], Sequence[Claim]]
AUDITORS: dict[str, Auditor] = {}
