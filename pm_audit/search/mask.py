"""A learned mask: a gate for each candidate, trained on replays, then hardened.

Gates are binary in the forward pass and take gradients as if they were the logistic function of
their logits (the straight-through estimator, 1308.3432), so every step is a real ablation of the
set that the gates now hold.  A step takes the gradient of the objective, through all rows that the
search sees, and of the price of an open gate, which is the gain that growth asks of a feature; at
most ``most`` gates are open, those of the largest logits.  Of all steps' sets the best is returned.

This is the other way to choose a set than growing it (``interventions/growth.py``); both are judged
by real ablation on prompts that they have not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.contrast import Floats
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import Edit, after, completion_jobs, run_suffix
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.growth import LEAST_GAIN, Growth
from pm_audit.interventions.objective import Objective
from pm_audit.records import Feature
from pm_audit.subject.sae import Sae

STEPS = 32
"""Steps of gradient descent; each costs about four replays of all rows."""

RATE = 0.3
"""First step size of Adam on the logits; it falls to zero along a cosine."""


def learn_mask(
    trace: Trace,
    objective: Objective,
    candidates: Sequence[Feature],
    targets: Targets,
    *,
    most: int,
) -> Growth:
    """Return the best set of at most ``most`` candidates that its gates held.

    Raises:
        SaeError: an SAE is not part of the trace, or a candidate is outside its SAE.

    """
    replay = _Gated(trace, objective, candidates, targets)
    # all gates are closed at first, and those of the best candidates are nearest to opening
    logits = torch.linspace(-0.1, -1.0, len(candidates)).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    path: list[tuple[float, tuple[int, ...], Floats]] = []
    for _ in range(STEPS):
        gates = _hardened(logits, most)
        rewards = replay.rewards(gates.detach())
        chosen = tuple(gates.detach().nonzero()[:, 0].tolist())
        value = float(objective.value(rewards)) + LEAST_GAIN * len(chosen)
        path.append((value, chosen, rewards))
        optimiser.zero_grad()
        slope = replay.gradient(gates.detach(), objective.slope(rewards))
        torch.autograd.backward(gates, slope + LEAST_GAIN)
        optimiser.step()
        schedule.step()
    _, best, _ = min(path, key=lambda one: one[0])
    closures = tuple(1 - float(objective.residual(rewards)) for _, _, rewards in path)
    collaterals = tuple(float(objective.collateral(rewards)) for _, _, rewards in path)
    return Growth(best, closures, collaterals, ())


def _hardened(logits: Tensor, most: int) -> Tensor:
    """Return gates [candidate] of 0 and 1 with the gradient of the logistic function."""
    soft = torch.sigmoid(logits)
    open_gates = torch.zeros_like(soft)
    best = logits.detach().topk(min(most, len(logits))).indices
    open_gates[best] = (logits.detach()[best] > 0).to(soft.dtype)
    return open_gates + soft - soft.detach()


class _Gated:
    """Replays of a trace in which each candidate is replaced as far as its gate is open."""

    def __init__(
        self,
        trace: Trace,
        objective: Objective,
        candidates: Sequence[Feature],
        targets: Targets,
    ) -> None:
        self.trace, self.objective = trace, objective
        self.jobs = completion_jobs(trace, objective.rows)
        self.at = np.searchsorted(objective.rows, self.jobs.row)
        self.saes = [trace.sae(name) for name in dict.fromkeys(one.sae for one in candidates)]
        self.candidates, self.targets = candidates, targets
        self.lowest = min(sae.layer for sae in self.saes)

    def rewards(self, gates: Tensor) -> Floats:
        """Return rewards [row] of the objective's rows."""
        found = self.objective.clean.copy()

        def run(batch: Batch) -> None:
            with torch.no_grad():
                found[self.at[batch.jobs]] = self._run(batch, gates).double().cpu().numpy()

        self.trace.in_batches(self.jobs, run)
        return found

    def gradient(self, gates: Tensor, slope: Floats) -> Tensor:
        """Return the gradient by the gates [candidate] of ``slope`` [row] times the rewards."""
        total = torch.zeros_like(gates)

        def run(batch: Batch) -> None:
            weights = torch.from_numpy(slope[self.at[batch.jobs]])
            with torch.enable_grad():
                leaf = gates.clone().requires_grad_()
                rewards = self._run(batch, leaf)
                (one,) = torch.autograd.grad((rewards * weights.to(rewards)).sum(), leaf)
            total.add_(one)

        self.trace.in_batches(self.jobs, run)
        return total

    def _run(self, batch: Batch, gates: Tensor) -> Tensor:
        edits: dict[int, Edit] = {}
        for sae in self.saes:
            before, edit = edits.get(sae.layer), self._edit(sae, gates)
            edits[sae.layer] = edit if before is None else after(before, edit)
        first = edits.pop(self.lowest)
        stream = first(batch, self.trace.streams[self.lowest][batch.completion])
        return run_suffix(self.trace, batch, self.lowest, stream, edits)

    def _edit(self, sae: Sae, gates: Tensor) -> Edit:
        own = [at for at, one in enumerate(self.candidates) if one.sae == sae.name]
        latents = torch.tensor([self.candidates[at].index for at in own], device=sae.W_dec.device)
        targets, gate = self.targets[sae.name], gates[own].to(sae.W_dec)

        def edit(batch: Batch, stream: Tensor) -> Tensor:
            current = stream.to(sae.W_dec.dtype)
            encoding = sae.encode_selected(current, latents)
            change = (targets.at(batch.completion, latents) - encoding.features) * gate
            return (current + encoding.scale[:, None] * (change @ sae.W_dec[latents])).to(
                stream.dtype
            )

        return edit
