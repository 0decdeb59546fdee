"""The test: each fold's set is replaced on the prompts that its search did not see.

By the method's replacement, on every completion; by every other one, and in the stages of the
decomposition, on the completions of which a gap consists.  The set is compared with random sets of
the same size, each member matched to a selected feature on the mean size of its edit over the
examples, drawn from the features that have one and were not selected.  A random set is tried on one
example and one counter-example of each prompt, the phrasings taken in turn; what changes there
stands for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pm_audit.forward.contrast import Floats, Integers
from pm_audit.forward.edits import edit_sizes
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import Replacement, replacements
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import (
    AlongsideEvidence,
    Feature,
    MethodRecord,
    NullEvidence,
    Role,
    StageEvidence,
    TransferEvidence,
)
from pm_audit.search.select import FoldSearch
from pm_audit.subject.sae import Sae

MATCHES = 12
"""Nearest features in size among which a random set's member is drawn."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What the folds' sets do to prompts, and phrasings, that their searches did not see."""

    ablated: Floats
    """[row], reward with the selected set replaced."""
    alongside: tuple[AlongsideEvidence, ...]
    stages: tuple[StageEvidence, ...]
    """Of all SAEs together, then, if there are several, of each by itself."""
    null: tuple[NullEvidence, ...]


def test_sets(
    experiment: Experiment,
    searches: Sequence[FoldSearch],
    targets: Targets,
    cache: ReplayCache,
    *,
    method: MethodRecord,
) -> HeldOut:
    """Run every intervention on the prompts that each fold held out.

    Args:
        experiment: the clean forward and its contrast.
        searches: one a fold; together they hold out every prompt once.
        targets: what stands in the features' place by the method's replacement.
        cache: earlier replays to these targets.
        method: how it is audited.

    """
    trace = experiment.trace
    ablated = trace.rewards.copy()
    for one in searches:
        rows = experiment.rows_of(one.fold.held_out)
        ablated[rows] = ablate_sets(trace, [one.selected], rows=rows, targets=targets, cache=cache)[
            0
        ]
    groups = [tuple(trace.saes)]
    groups += [(sae,) for sae in trace.saes if len(trace.saes) > 1]
    return HeldOut(
        ablated=ablated,
        alongside=tuple(
            AlongsideEvidence(replacement=name, rewards=_by_other(experiment, searches, other))
            for name, other in replacements().items()
            if name != method.replacement
        ),
        stages=tuple(_stages(experiment, searches, targets, saes, ablated) for saes in groups),
        null=_null(experiment, searches, targets, cache, method),
    )


def transfer(
    experiment: Experiment,
    searches: Sequence[FoldSearch],
    targets: Targets,
    cache: ReplayCache,
) -> tuple[TransferEvidence, ...]:
    """Test each search that left out a phrasing on that phrasing, on its held-out prompts."""
    found = []
    contrast, trace = experiment.contrast, experiment.trace
    for one in searches:
        assert one.fold.without is not None
        counters = contrast.has_role(Role.COUNTER_EXAMPLE)
        among = one.fold.left_out(contrast) | counters
        rows = np.flatnonzero(among & contrast.of_prompts(one.fold.held_out))
        after = trace.rewards.copy()
        after[rows] = ablate_sets(trace, [one.selected], rows=rows, targets=targets, cache=cache)[0]
        tested = list(one.fold.held_out)
        gaps = [
            [float(contrast.weights([prompt], among=among) @ rewards) for prompt in tested]
            for rewards in (trace.rewards, after)
        ]
        found.append(
            TransferEvidence(
                phrasing=one.fold.without,
                prompts=tuple(tested),
                selected=one.selected,
                gap=tuple(gaps[0]),
                gap_after=tuple(gaps[1]),
            )
        )
    return tuple(found)


def _weighed(experiment: Experiment, one: FoldSearch) -> Integers:
    return experiment.rows(Role.EXAMPLE, Role.COUNTER_EXAMPLE, prompts=one.fold.held_out)


def _by_other(
    experiment: Experiment, searches: Sequence[FoldSearch], other: Replacement
) -> tuple[float, ...]:
    """Return rewards [row] with the sets replaced by another replacement."""
    rewards = experiment.rewards.copy()
    for one in searches:
        counters = experiment.rows(Role.COUNTER_EXAMPLE, prompts=one.fold.discovery)
        targets = other.targets(experiment, counters)
        rows = _weighed(experiment, one)
        rewards[rows] = ablate_sets(experiment.trace, [one.selected], rows=rows, targets=targets)[0]
    return tuple(rewards.tolist())


def _stages(
    experiment: Experiment,
    searches: Sequence[FoldSearch],
    targets: Targets,
    saes: Sequence[Sae],
    ablated: Floats,
) -> StageEvidence:
    """Return the rewards at each stage of the decomposition by these SAEs."""
    trace, names = experiment.trace, {sae.name for sae in saes}
    rewards = {
        stage: trace.rewards.copy()
        for stage in ("selected", "others", "features", "stream", "error")
    }
    for one in searches:
        rows = _weighed(experiment, one)
        selected = [feature for feature in one.selected if feature.sae in names]
        if len(selected) == len(one.selected):
            rewards["selected"][rows] = ablated[rows]
        else:
            left = ablate_sets(trace, [selected], rows=rows, targets=targets)
            rewards["selected"][rows] = left[0]
        run = partial(replace_all, trace, saes, targets, rows=rows)
        rewards["others"][rows] = run(but=selected)
        rewards["features"][rows] = run()
        rewards["stream"][rows] = run(error=True)
        rewards["error"][rows] = run(features=False, error=True)
    alone = saes[0] if len(saes) < len(trace.saes) else None
    return StageEvidence(
        sae=None if alone is None else alone.name,
        layer=None if alone is None else alone.layer,
        **{stage: tuple(one.tolist()) for stage, one in rewards.items()},
    )


def _null(
    experiment: Experiment,
    searches: Sequence[FoldSearch],
    targets: Targets,
    cache: ReplayCache,
    method: MethodRecord,
) -> tuple[NullEvidence, ...]:
    trace, contrast = experiment.trace, experiment.contrast
    rng = np.random.default_rng(method.seed)
    changes = np.zeros((method.null_sets, len(trace.grid)))
    sample = contrast.one_of_each() & ~contrast.has_role(Role.CONTROL)
    for one in searches:
        examples = experiment.rows(Role.EXAMPLE, prompts=one.fold.discovery)
        sizes = {sae.name: edit_sizes(trace, sae, examples, targets) for sae in trace.saes}
        sets = [_matched_set(trace, sizes, one.selected, rng) for _ in range(method.null_sets)]
        rows = np.flatnonzero(sample & contrast.of_prompts(one.fold.held_out))
        after = ablate_sets(trace, sets, rows=rows, targets=targets, cache=cache)
        changes[:, rows] = after - trace.rewards[rows]
    clean = contrast.gap_by_prompt(trace.rewards)
    gaps = [clean + contrast.gap_by_prompt(change, among=sample) for change in changes]
    return tuple(NullEvidence(gap=tuple(gap.tolist())) for gap in gaps)


def _matched_set(
    trace: Trace,
    sizes: Mapping[str, Floats],
    selected: Sequence[Feature],
    rng: np.random.Generator,
) -> tuple[Feature, ...]:
    """Draw one feature for each selected one, alike in size [latent] in its SAE, none twice."""
    drawn: list[Feature] = []
    for sae in trace.saes:
        own = [feature for feature in selected if feature.sae == sae.name]
        size = sizes[sae.name]
        free = size > 0
        free[[feature.index for feature in own]] = False
        for feature in own:
            pool = np.flatnonzero(free)
            if not len(pool):
                break
            distance = np.abs(np.log(size[pool]) - np.log(max(size[feature.index], 1e-12)))
            nearest = pool[np.argsort(distance, kind="stable")[:MATCHES]]
            index = int(rng.choice(nearest))
            free[index] = False
            drawn.append(Feature(sae=sae.name, layer=sae.layer, index=index))
    return tuple(drawn)
