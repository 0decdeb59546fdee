"""The test: each fold's set is ablated jointly on the prompts that its search did not see.

The set is ablated to zero, and decomposed with its features at their counter-example means.  It
is compared with random sets of the same size, each member matched to a selected feature on its mean
strength (activation x decoder norm) over the examples, drawn from the features that fire there and
were not selected.  A random set is tried on one example and one counter-example of each prompt,
the phrasings taken in turn; what changes there stands for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Floats, Integers
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.reconstruction import replace_features, replace_streams
from pm_audit.interventions.replacements import MEAN
from pm_audit.records import Feature, MethodRecord, Role
from pm_audit.search.folds import Fold
from pm_audit.search.select import FoldSearch, Search
from pm_audit.subject.sae import Sae

MATCHES = 12
"""Nearest features in strength among which a random set's member is drawn."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Rewards [row] by successive replacement, of one SAE by itself or of all of them together.

    Each from the fold that did not see the row's prompt; counter-example means throughout.
    Controls have no part in a gap and keep their rewards.
    """

    saes: tuple[Sae, ...]
    selected: Floats
    """The selected features of these SAEs are replaced."""
    features: Floats
    """All of their features are."""
    streams: Floats
    """The whole stream at their layers is."""

    @classmethod
    def before(cls, trace: Trace, saes: Sequence[Sae]) -> Decomposition:
        """Return the rewards before anything was replaced."""
        return cls(tuple(saes), *(trace.rewards.copy() for _ in range(3)))

    def fill(self, experiment: Experiment, one: FoldSearch, rows: Integers) -> None:
        """Run the replacements on rows of the prompts that one fold held out."""
        trace, names = experiment.trace, {sae.name for sae in self.saes}
        counters = experiment.rows(Role.COUNTER_EXAMPLE, prompts=one.fold.discovery)
        targets = MEAN.targets(experiment, counters)
        assert targets is not None
        selected = [feature for feature in one.growth.selected if feature.sae in names]
        self.selected[rows] = ablate_sets(trace, [selected], rows=rows, targets=targets)[0]
        self.features[rows] = replace_features(trace, self.saes, targets, rows=rows)
        self.streams[rows] = replace_streams(trace, self.saes, counters, rows=rows)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rewards [row] after each intervention, from the fold that did not see the row's prompt."""

    zero: Floats
    together: Decomposition
    """Of all SAEs together."""
    by_sae: tuple[Decomposition, ...]
    """Of each SAE by itself, if there are several."""
    single_sum: Floats
    null_gaps: Floats
    """[set prompt], gap of each prompt after a matched random set was ablated."""


def test_sets(experiment: Experiment, search: Search, *, method: MethodRecord) -> HeldOut:
    """Run every intervention on the prompts that each fold held out."""
    trace, contrast = experiment.trace, experiment.contrast
    rng = np.random.default_rng(method.seed)
    zero = trace.rewards.copy()
    single_sum = np.zeros(len(trace.grid))
    null_changes = np.zeros((method.null_sets, len(trace.grid)))
    sample = contrast.one_of_each() & ~contrast.has_role(Role.CONTROL)
    together = Decomposition.before(trace, trace.saes)
    alone = trace.saes if len(trace.saes) > 1 else ()
    by_sae = tuple(Decomposition.before(trace, [sae]) for sae in alone)
    for one in search.folds:
        selected = one.growth.selected
        rows = experiment.rows_of(one.fold.held_out)
        zero[rows] = ablate_sets(trace, [selected], rows=rows, cache=search.cache)[0]
        for feature in selected:
            single_sum[rows] += search.contribution(feature)[rows]
        weighed = experiment.rows(Role.EXAMPLE, Role.COUNTER_EXAMPLE, prompts=one.fold.held_out)
        for each in (together, *by_sae):
            each.fill(experiment, one, weighed)
        null_sets = _matched_sets(experiment, one.fold, selected, rng, method.null_sets)
        tried = rows[sample[rows]]
        after = ablate_sets(trace, null_sets, rows=tried, cache=search.cache)
        null_changes[:, tried] = after - trace.rewards[tried]
    return HeldOut(
        zero=zero,
        together=together,
        by_sae=by_sae,
        single_sum=single_sum,
        null_gaps=contrast.gap_by_prompt(trace.rewards)
        + [contrast.gap_by_prompt(changes, among=sample) for changes in null_changes],
    )


def _matched_sets(
    experiment: Experiment,
    fold: Fold,
    selected: Sequence[Feature],
    rng: np.random.Generator,
    count: int,
) -> list[tuple[Feature, ...]]:
    examples = experiment.rows(Role.EXAMPLE, prompts=fold.discovery)
    trace = experiment.trace
    strength = {sae.name: mean_strength(trace, sae.name, examples) for sae in trace.saes}
    return [_matched_set(trace, strength, selected, rng) for _ in range(count)]


def _matched_set(
    trace: Trace,
    strengths: Mapping[str, Floats],
    selected: Sequence[Feature],
    rng: np.random.Generator,
) -> tuple[Feature, ...]:
    """Draw one feature for each selected one, alike in strength [latent] of its SAE, none twice."""
    drawn: list[Feature] = []
    for sae in trace.saes:
        own = [feature for feature in selected if feature.sae == sae.name]
        strength = strengths[sae.name]
        free = strength > 0
        free[[feature.index for feature in own]] = False
        for feature in own:
            pool = np.flatnonzero(free)
            if not len(pool):
                break
            distance = np.abs(np.log(strength[pool]) - np.log(max(strength[feature.index], 1e-12)))
            nearest = pool[np.argsort(distance, kind="stable")[:MATCHES]]
            index = int(rng.choice(nearest))
            free[index] = False
            drawn.append(Feature(sae=sae.name, layer=sae.layer, index=index))
    return tuple(drawn)


def mean_strength(trace: Trace, sae_name: str, rows: Integers) -> Floats:
    """Return each latent's mean activation x decoder norm over completion tokens of ``rows``."""
    sae, features = trace.sae(sae_name), trace.features[sae_name]
    chosen = np.isin(trace.row_of_token(), rows)
    counted = chosen[features.token_here]
    value = features.strength.double().cpu().numpy()[counted]
    summed = np.bincount(features.latent_here[counted], value, minlength=sae.width)
    norms = sae.W_dec.double().norm(dim=-1).cpu().numpy()
    return np.asarray(summed * norms / max(1, int(chosen.sum())))
