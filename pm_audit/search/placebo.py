"""The placebo: the whole search, on a contrast that means nothing.

Within each prompt the labels example and counter-example are dealt out again at random, and
attribution, growth and the test on held-out prompts run as before, the contrast's own values
included.  What such a search closes of its own gap is what a search finds without any effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import PlaceboEvidence, Role
from pm_audit.search.folds import Fold
from pm_audit.search.select import Selector

SelectorOf = Callable[[Experiment], Selector]
"""Prepares the whole search for a contrast."""


def run_placebo(
    experiment: Experiment, folds: Sequence[Fold], selector_of: SelectorOf, *, seed: int
) -> PlaceboEvidence:
    """Return what a search on exchanged labels does on the prompts that each fold held out."""
    trace, contrast = experiment.trace, exchange(experiment.contrast, seed=seed)
    selector = selector_of(Experiment(trace, contrast))
    after = trace.rewards.copy()
    selected = []
    for fold in folds:
        found = selector.select(fold).selected
        rows = experiment.rows_of(fold.held_out)
        after[rows] = ablate_sets(
            trace, [found], rows=rows, targets=selector.targets, cache=selector.cache
        )[0]
        selected.append(len(found))
    return PlaceboEvidence(
        gap=tuple(contrast.gap_by_prompt(trace.rewards).tolist()),
        gap_after=tuple(contrast.gap_by_prompt(after).tolist()),
        selected=tuple(selected),
    )


def exchange(contrast: Contrast, *, seed: int) -> Contrast:
    """Return the contrast with examples and counter-examples exchanged within each prompt."""
    generator = np.random.default_rng(seed)
    source = np.arange(len(contrast.prompt))
    weighed = contrast.has_role(Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    for prompt in range(contrast.prompts):
        rows = np.flatnonzero(weighed & (contrast.prompt == prompt))
        source[rows] = generator.permutation(rows)
    return Contrast(
        contrast.prompt,
        [contrast.role[int(at)] for at in source],
        None if contrast.variant is None else contrast.variant[source],
    )
