"""The placebo: the whole search, on a contrast that means nothing.

Within each prompt the labels example and counter-example are dealt out again at random, and
candidates, single ablations, growth and the test on held-out prompts run as before.  What such a
search closes of its own gap is what the machinery finds where there is nothing to be found.
Attributions are of rewards, not of labels, so they are taken over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import MethodRecord, PlaceboEvidence, Role
from pm_audit.search.folds import Fold
from pm_audit.search.propose import Proposal, rank
from pm_audit.search.select import select
from pm_audit.subject.preference_model import PreferenceModel


def run_placebo(
    pm: PreferenceModel,
    trace: Trace,
    contrast: Contrast,
    folds: Sequence[Fold],
    proposal: Proposal,
    *,
    method: MethodRecord,
    seed: int,
) -> PlaceboEvidence:
    """Repeat the search on exchanged labels and test it on the prompts each fold held out."""
    exchanged = exchange(contrast, seed=seed)
    placebo = rank(proposal.scores, trace, exchanged, folds, method=method)
    search = select(pm, trace, exchanged, folds, placebo, method=method, reported=False)
    after = trace.rewards.copy()
    for one in search.folds:
        rows = np.flatnonzero(contrast.of_prompts(one.fold.held_out))
        after[rows] = ablate_sets(pm, trace, [one.growth.selected], rows=rows, cache=search.cache)[
            0
        ]
    return PlaceboEvidence(
        gap=tuple(exchanged.gap_by_prompt(trace.rewards).tolist()),
        gap_after=tuple(exchanged.gap_by_prompt(after).tolist()),
        selected=tuple(len(one.growth.selected) for one in search.folds),
    )


def exchange(contrast: Contrast, *, seed: int) -> Contrast:
    """Deal the labels of examples and counter-examples out again within each prompt."""
    generator = np.random.default_rng(seed)
    roles = list(contrast.role)
    weighed = contrast.has_role(Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    for prompt in range(contrast.prompts):
        rows = np.flatnonzero(weighed & (contrast.prompt == prompt))
        for row, source in zip(rows, generator.permutation(rows), strict=True):
            roles[row] = contrast.role[source]
    return Contrast(contrast.prompt, roles)
