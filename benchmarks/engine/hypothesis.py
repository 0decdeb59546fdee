"""One whole hypothesis: search, held-out test, nulls and transfer, as an audit runs them.

Both contestants run the product's own search, on the same values of features and targets.  What
reads the PM differs: pm_audit's attribution and replays, or full forwards of the padded batch with
hooks, one a set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from benchmarks.engine.plain import hooked, padded_rewards
from benchmarks.engine.workload import COMPLETIONS, Padded, Workload
from pm_audit.attribution.integrated_gradients import QUADRATURE, Attributions, Method
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Grid, Integers
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Feature, Role
from pm_audit.search import by_phrasing, propose, split, test_sets, transfer
from pm_audit.search.select import Selector
from pm_audit.spec import Settings
from pm_audit.spec.settings import method_of
from pm_audit.subject.sae import Sae

EXAMPLES, COUNTERS = (1, 5), (0, 2)
"""Completions of which the hypothesis consists; the others are controls."""


class PackedHypothesis:
    """pm_audit."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.method = method_of(Settings(), quadrature=QUADRATURE)

    def hypothesis(self) -> np.ndarray:
        """Return the sets that were found, and the figures of their tests."""
        work, method = self.work, self.method
        contrast = _contrast(len(work.grid))
        experiment = Experiment(trace(work.pm, [work.sae], work.grid), contrast)
        targets = contrast_features(experiment)
        folds = split(contrast.gap_by_prompt(experiment.rewards).tolist(), 2, seed=0)
        proposal = propose(experiment, targets, method=method)
        selector = Selector.of(experiment, proposal, method=method, searches=len(folds))
        searches = [selector.select(fold) for fold in folds]
        held_out = test_sets(experiment, searches, targets, selector.cache, method=method)
        unseen = [selector.select(fold) for fold in by_phrasing(contrast, folds)]
        moved = transfer(experiment, unseen, targets, selector.cache)
        (stage,) = held_out.stages
        figures: list[Any] = [one.index for found in (*searches, *unseen) for one in found.selected]
        figures += [held_out.ablated, stage.others, stage.features, stage.stream, stage.error]
        figures += [one.rewards for one in held_out.alongside]
        figures += [one.gap for one in held_out.null] + [one.gap_after for one in moved]
        return np.concatenate([np.atleast_1d(np.asarray(one, dtype=float)) for one in figures])


class PlainHypothesis(PackedHypothesis):
    """The same with hooks in the place of attribution, ablation and replacement."""

    def hypothesis(self) -> np.ndarray:
        """Return the sets that were found, and the figures of their tests."""
        hooks = _Hooks(self.work)
        places = {
            "pm_audit.search.propose.attribute": hooks.attribute,
            "pm_audit.search.select.ablate_sets": hooks.ablate_sets,
            "pm_audit.search.held_out.ablate_sets": hooks.ablate_sets,
            "pm_audit.search.held_out.replace_all": hooks.replace_all,
            f"{__name__}.trace": hooks.trace,
        }
        with contextlib.ExitStack() as stack:
            for name, function in places.items():
                stack.enter_context(mock.patch(name, function))
            return super().hypothesis()


class _Hooks:
    """What the search asks of a PM, by full forwards of the padded batch."""

    def __init__(self, work: Workload) -> None:
        self.work, self.sae = work, work.sae
        # shared with pm_audit: a gate at its threshold may flip on rounding
        self.clean = work.clean.features[work.sae.name]
        self.features = self.clean.of(torch.arange(work.sae.width))

    def trace(self, *_: object) -> Trace:
        """Read the texts and encode the stream; return what pm_audit had found."""
        seen: list[Tensor] = []
        self._rewards(
            np.arange(len(self.work.grid)), lambda stream, _: seen.append(stream) or stream
        )
        self.sae.encode(seen[0])
        return self.work.clean

    def ablate_sets(
        self,
        _: Trace,
        sets: Sequence[Sequence[Feature]],
        *,
        rows: Integers,
        targets: Targets | None = None,
        cache: object = None,
    ) -> Floats:
        """Return rewards [set row], one forward a set."""
        del cache
        after = []
        for features in sets:
            latents = torch.tensor([one.index for one in features], dtype=torch.long)

            def ablate(stream: Tensor, token: Tensor, latents: Tensor = latents) -> Tensor:
                self.sae.encode(stream)  # paid for; the values are the shared ones
                change = -self.features[token][:, latents]
                if targets is not None:
                    change += targets[self.sae.name].at(token, latents)
                return stream + change @ self.sae.W_dec[latents]

            after.append(self._rewards(rows, ablate))
        return np.stack(after)

    def replace_all(
        self,
        _: Trace,
        saes: Sequence[Sae],
        targets: Targets,
        *,
        rows: Integers,
        but: Collection[Feature] = (),
        features: bool = True,
        error: bool = False,
    ) -> Floats:
        """Return rewards [row], one forward."""
        (sae,) = saes
        own, kept = targets[sae.name], [one.index for one in but]

        def edit(stream: Tensor, token: Tensor) -> Tensor:
            encoding = replace(sae.encode(stream), features=self.features[token])
            left = stream - sae.decode(encoding)
            if features:
                values = own.at(token, torch.arange(sae.width))
                values[:, kept] = encoding.features[:, kept]
                encoding = replace(encoding, features=values)
            return sae.decode(encoding) + (own.error[own.groups_of(token)] if error else left)

        return self._rewards(rows, edit)

    def attribute(
        self,
        _: Trace,
        sae: Sae,
        *,
        rows: Integers,
        targets: Targets,
        method: Method = Method.INTEGRATED_GRADIENTS,
        steps: int = 1,
        change: Floats | None = None,
    ) -> Attributions:
        """Return attributions by forwards and backwards through the padded batch."""
        shares = [0.0] if method is Method.ATP else [(step + 0.5) / steps for step in range(steps)]
        own, everything = targets[sae.name], torch.arange(sae.width)
        table = csr_array((sae.width, len(self.work.grid)))

        def end(stream: Tensor, token: Tensor) -> Tensor:
            encoding = replace(sae.encode(stream), features=own.at(token, everything))
            return sae.decode(encoding) + own.error[own.groups_of(token)]

        for share in shares:
            taken: list[Tensor] = []

            def part(
                stream: Tensor, token: Tensor, share: float = share, taken: list[Tensor] = taken
            ) -> Tensor:
                there = stream + share * (end(stream, token) - stream) if share else stream
                taken[:] = [there.detach().requires_grad_(), token]
                return taken[0]

            rewards = self._forward(rows, part)
            (gradient,) = torch.autograd.grad(rewards.sum(), taken[0])
            differs = self.features[taken[1]] - own.at(taken[1], everything)
            by_token = (differs * (gradient @ sae.W_dec.T)).double().numpy() / len(shares)
            row = self.work.grid.layout.completion_row[taken[1].numpy()]
            by_row = csr_array(
                (np.ones(len(row)), (row, np.arange(len(row)))), shape=(table.shape[1], len(row))
            )
            table = table + csr_array((by_row @ by_token).T)
        nothing, none = np.zeros(len(rows)), np.zeros(0, dtype=np.int64)
        if change is None:
            change = self.work.clean.rewards[rows] - self._rewards(rows, end)
        return Attributions(none, none, none, np.zeros(0), table, rows, nothing, change, nothing)

    def _rewards(self, rows: Integers, edit: Callable[[Tensor, Tensor], Tensor]) -> Floats:
        with torch.no_grad():
            return self._forward(rows, edit).double().numpy()

    def _forward(self, rows: Integers, edit: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return rewards [row]; ``edit`` receives the completions' stream, and whose it is."""
        batch = Padded.of(Grid(tuple(self.work.grid.rows[row] for row in rows.tolist())))
        offsets = self.work.grid.layout.completion_offsets
        token = torch.cat([torch.arange(offsets[row], offsets[row + 1]) for row in rows.tolist()])

        def change(stream: Tensor) -> Tensor:
            edited = stream.clone()
            edited[batch.completion] = edit(stream[batch.completion], token)
            return edited

        with hooked(self.work, change):
            return padded_rewards(self.work, batch)


def _contrast(rows: int) -> Contrast:
    """Return the roles of the workload's rows."""
    prompt, completion = np.divmod(np.arange(rows), len(COMPLETIONS))
    roles = dict.fromkeys(EXAMPLES, Role.EXAMPLE) | dict.fromkeys(COUNTERS, Role.COUNTER_EXAMPLE)
    role = [roles.get(int(one), Role.CONTROL) for one in completion]
    return Contrast(prompt, role, completion)
