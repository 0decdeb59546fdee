"""What a baseline may read: streams and rewards of the prompts that a fold discovers on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.contrast import Floats, Integers
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.trace import Trace
from pm_audit.records import Role
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class Discovery:
    """One fold's discovery prompts, at the block that the SAE reads."""

    experiment: Experiment
    sae: Sae
    """Only its block matters here."""
    prompts: tuple[int, ...]
    """The fold's discovery prompts; no baseline looks at any other."""
    seed: int

    @property
    def trace(self) -> Trace:
        """The clean forward."""
        return self.experiment.trace

    @property
    def layer(self) -> int:
        """Block whose stream is changed."""
        return self.sae.layer

    def rows(self, *roles: Role, prompts: Iterable[int] | None = None) -> Integers:
        """Return rows of the discovery prompts (or of some of them) with one of these roles."""
        chosen = self.prompts if prompts is None else prompts
        return self.experiment.rows(*roles, prompts=chosen)

    @cached_property
    def gap(self) -> float:
        """Gap of the discovery prompts, raw reward."""
        return self.experiment.gap(self.prompts)

    @cached_property
    def weights(self) -> Floats:
        """[row], whose product with rewards is the gap."""
        return self.experiment.contrast.weights(self.prompts)

    @cached_property
    def row_means(self) -> Tensor:
        """[row hidden], each row's stream averaged over its completion tokens."""
        stream = self.trace.streams[self.layer].double()
        rows = torch.from_numpy(self.trace.row_of_token()).to(stream.device)
        sums = stream.new_zeros(len(self.trace.grid), stream.shape[1]).index_add_(0, rows, stream)
        counts = torch.bincount(rows, minlength=len(self.trace.grid)).clamp_min(1)
        return sums / counts[:, None]

    @cached_property
    def centre(self) -> Tensor:
        """[hidden], mean stream of the counter-examples' completion tokens."""
        wanted = np.isin(self.trace.row_of_token(), self.rows(Role.COUNTER_EXAMPLE))
        stream = self.trace.streams[self.layer]
        return stream[torch.from_numpy(np.flatnonzero(wanted)).to(stream.device)].float().mean(0)

    @cached_property
    def differences(self) -> Tensor:
        """[example row, hidden], row means of examples less their prompt's counter-examples'."""
        parts = []
        for prompt in self.prompts:
            counters = self.row_means[self.rows(Role.COUNTER_EXAMPLE, prompts=[prompt])]
            examples = self.row_means[self.rows(Role.EXAMPLE, prompts=[prompt])]
            parts.append(examples - counters.mean(0))
        return torch.cat(parts)


def orthonormal(directions: Tensor, *, most: int) -> Tensor:
    """Return an orthonormal basis [direction hidden] of the first ``most`` independent rows."""
    kept: list[Tensor] = []
    for direction in directions.double():
        rest = direction
        for _ in range(2):  # once more, for what rounding left
            for other in kept:
                rest = rest - (rest @ other) * other
        if float(rest.norm()) > 1e-6 * max(float(direction.norm()), 1e-12):
            kept.append(rest / rest.norm())
        if len(kept) == most:
            break
    width = directions.shape[1]
    return torch.stack(kept).float() if kept else torch.zeros(0, width)
