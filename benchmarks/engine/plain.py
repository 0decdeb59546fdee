"""Contestant ``plain``: forward hooks on the padded batch, one full forward a feature.

Written as well as the plain way allows: no parameter gradients, no graph below the splice, and
the SAE encoded once a forward.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.engine.workload import STEPS, Padded, Workload


class PlainContestant:
    """Hooks and full forwards."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.batch = Padded.of(work.grid)
        features = work.clean.features[work.sae.name]
        layout = work.grid.layout
        token = features.token.numpy()
        self.row = torch.from_numpy(layout.completion_row[token])
        self.position = torch.from_numpy(layout.completion_position[token])
        self.latent = features.latent
        self.value = features.value

    def rewards(self) -> np.ndarray:
        """Return rewards [row]."""
        with torch.no_grad():
            return self._forward().double().numpy()

    def attributions(self) -> np.ndarray:
        """Return IG at every active (token, latent), [active]."""
        sae, completion = self.work.sae, self.batch.completion
        seen: list[Tensor] = []
        with torch.no_grad(), hooked(self.work, lambda stream: seen.append(stream) or stream):
            self._forward()
        clean = seen[0]
        encoding = sae.encode(clean.flatten(0, 1))
        bare = sae.decode(replace(encoding, features=torch.zeros_like(encoding.features)))
        bare = bare.view_as(clean)
        total = torch.zeros_like(clean)
        for step in range(STEPS):
            removed = (step + 0.5) / STEPS * completion[..., None]
            leaf = (clean - removed * (clean - bare)).requires_grad_()
            with hooked(self.work, lambda _, leaf=leaf: leaf):
                rewards = self._forward()
            total += torch.autograd.grad(rewards.sum(), leaf)[0] / STEPS
        effects = (total @ sae.W_dec.T) * encoding.features.view(*clean.shape[:2], -1)
        # A gate at its threshold may flip on rounding: values are compared with shared features.
        own = encoding.features.view(*clean.shape[:2], -1)[self.row, self.position, self.latent]
        found = effects[self.row, self.position, self.latent] / own.clamp_min(1e-12) * self.value
        return found.double().numpy()

    def ablations(self, latents: np.ndarray) -> np.ndarray:
        """Return contributions [latent row]."""
        sae = self.work.sae
        with torch.no_grad():
            clean = self._forward()
            found = []
            for latent in latents.tolist():
                chosen = self.latent == latent
                shared = torch.zeros(self.batch.ids.shape)
                shared[self.row[chosen], self.position[chosen]] = self.value[chosen]

                def ablate(stream: Tensor, latent: int = latent, shared: Tensor = shared) -> Tensor:
                    sae.encode(stream.flatten(0, 1))  # paid for; the values are the shared ones
                    return stream - shared[..., None] * sae.W_dec[latent]

                with hooked(self.work, ablate):
                    found.append(clean - self._forward())
        return torch.stack(found).double().numpy()

    def _forward(self) -> Tensor:
        return padded_rewards(self.work, self.batch)


def padded_rewards(work: Workload, batch: Padded) -> Tensor:
    """Return rewards [row] of a padded batch by one forward of the transformers model."""
    hidden = work.pm.decoder.backbone(
        input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state
    return work.pm.reward(hidden[torch.arange(len(batch.ids)), batch.last])


@contextlib.contextmanager
def hooked(work: Workload, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Change the stream [row position hidden] after the SAE's block."""

    def hook(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return change(output)

    handle = work.pm.decoder.blocks[work.sae.layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
