"""The placebo: the whole search, on a contrast that means nothing.

Within each prompt the labels example and counter-example are dealt out again at random, and
candidates, single ablations, growth and the test on held-out prompts run as before.  What such a
search closes of its own gap is what a search finds without any effect.  Attributions are of
rewards, not of labels, so they are reused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import MethodRecord, PlaceboEvidence, Role
from pm_audit.search.folds import Fold
from pm_audit.search.propose import Proposal, rank
from pm_audit.search.select import select


def run_placebo(
    experiment: Experiment,
    folds: Sequence[Fold],
    proposal: Proposal,
    *,
    method: MethodRecord,
    seed: int,
) -> PlaceboEvidence:
    """Return what a search on exchanged labels does on the prompts that each fold held out."""
    trace, contrast = experiment.trace, exchange(experiment.contrast, seed=seed)
    exchanged = Experiment(trace, contrast)
    placebo = rank(proposal.scores, exchanged, folds, method=method)
    search = select(exchanged, folds, placebo, method=method, reported=False)
    after = trace.rewards.copy()
    for one in search.folds:
        rows = experiment.rows_of(one.fold.held_out)
        found = ablate_sets(trace, [one.growth.selected], rows=rows, cache=search.cache)
        after[rows] = found[0]
    return PlaceboEvidence(
        gap=tuple(contrast.gap_by_prompt(trace.rewards).tolist()),
        gap_after=tuple(contrast.gap_by_prompt(after).tolist()),
        selected=tuple(len(one.growth.selected) for one in search.folds),
    )


def exchange(contrast: Contrast, *, seed: int) -> Contrast:
    """Return the contrast with examples and counter-examples exchanged within each prompt."""
    generator = np.random.default_rng(seed)
    roles = list(contrast.role)
    weighed = contrast.has_role(Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    for prompt in range(contrast.prompts):
        rows = np.flatnonzero(weighed & (contrast.prompt == prompt))
        for row, source in zip(rows, generator.permutation(rows), strict=True):
            roles[row] = contrast.role[source]
    return Contrast(contrast.prompt, roles)
