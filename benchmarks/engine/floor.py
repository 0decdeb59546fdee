"""The floor: multiply-adds that a job cannot do without, at the measured matrix rate.

Counted for the packed way of working: each distinct token once, the suffix only, from the first
changed token, and in the last block keys and values for all tokens but the rest at the readout.
Norms, rotations, softmax and memory traffic count nothing.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.engine.workload import STEPS, Workload


def matrix_rate(tokens: int = 2048) -> float:
    """Return multiply-adds a CPU second of products shaped like an MLP's, best of ten."""
    left, right = torch.randn(tokens, 576), torch.randn(576, 1536)
    out = torch.empty(tokens, 1536)
    best = float("inf")
    for _ in range(12):
        start = time.process_time()
        for _ in range(4):
            torch.mm(left, right, out=out)
        best = min(best, (time.process_time() - start) / 4)
    return tokens * 576 * 1536 / best


class Floor:
    """Multiply-adds of each job for one workload."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        block = work.pm.decoder.blocks[0]
        sizes = {name: weight.numel() for name, weight in block.named_parameters()}
        self.whole = sum(size for name, size in sizes.items() if "norm" not in name)
        keys = sum(size for name, size in sizes.items() if "k_proj" in name or "v_proj" in name)
        self.keys, self.rest = keys, self.whole - keys
        config = work.pm.decoder.backbone.config
        self.attended = 2 * config.hidden_size
        """Multiply-adds of one query with one key and value, all heads."""
        self.layout = work.grid.layout

    def rewards(self) -> float:
        """Multiply-adds of J1."""
        depth = self.work.pm.depth
        tokens, rows = len(self.layout.token_ids), len(self.work.grid)
        pairs = float((self.layout.positions + 1).sum())
        return (
            tokens * (self.whole * (depth - 1) + self.keys)
            + rows * self.rest
            + self.attended * (pairs * (depth - 1) + float(self.layout.length.sum()))
        )

    def attributions(self) -> float:
        """Multiply-adds of J2: clean forward, encoding, and four forwards and backwards."""
        completion = len(self.layout.completion_tokens)
        start = self.layout.length - np.diff(self.layout.completion_offsets)
        step = self._suffix(np.arange(len(self.work.grid)), start)
        product = completion * self.work.sae.W_dec.numel()
        return self.rewards() + self._encode() + STEPS * 2 * step + product

    def ablations(self, latents: np.ndarray) -> float:
        """Multiply-adds of J3 or J4: clean forward, encoding, one suffix a (latent, row)."""
        features = self.work.clean.features[self.work.sae.name]
        token, latent = features.token.cpu().numpy(), features.latent.cpu().numpy()
        kept = np.isin(latent, latents)
        row = self.layout.completion_row[token[kept]]
        key = latent[kept] * len(self.work.grid) + row
        order = np.lexsort((token[kept], key))
        first = np.unique(key[order], return_index=True)[1]
        start = self.layout.completion_position[token[kept][order][first]]
        return self.rewards() + self._encode() + self._suffix(row[order][first], start)

    def _encode(self) -> float:
        return len(self.layout.completion_tokens) * self.work.sae.W_enc.numel()

    def _suffix(self, row: np.ndarray, start: np.ndarray) -> float:
        """Multiply-adds of runs of these rows from ``start`` through the blocks after the SAE."""
        length = self.layout.length[row]
        tokens = float((length - start).sum())
        blocks = self.work.pm.depth - 1 - self.work.sae.layer
        if not blocks:
            return 0.0
        pairs = float((length * (length + 1) / 2 - start * (start + 1) / 2).sum())
        return (
            tokens * (self.whole * (blocks - 1) + self.keys)
            + len(row) * self.rest
            + self.attended * (pairs * (blocks - 1) + float(length.sum()))
        )
