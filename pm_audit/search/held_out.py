"""The test: each fold's set is ablated jointly on the prompts that its search did not see.

Beside the set itself, under zero and mean replacement, run what it is held against: random sets
of the same size, each member matched to a selected feature on its mean strength (activation x
decoder norm) over the examples, drawn from the features that fire there and were not selected.
A random set is tried on one example and one counter-example of each prompt, the phrasings taken in
turn; what changes there stands for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Contrast, Floats, Integers, Mask
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import Means, Replacement, ablate_sets, mean_features
from pm_audit.interventions.reconstruction import replace_features, replace_streams
from pm_audit.records import Feature, MethodRecord, Role
from pm_audit.search.folds import Fold
from pm_audit.search.select import FoldSearch, Search
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

MATCHES = 12
"""Nearest features in strength among which a random set's member is drawn."""


@dataclass(frozen=True, eq=False)
class Account:
    """Rewards [row] by successive replacement, as one SAE by itself or all of them see it.

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
    def before(cls, trace: Trace, saes: Sequence[Sae]) -> Account:
        """Return the account before anything was replaced."""
        return cls(tuple(saes), *(trace.rewards.copy() for _ in range(3)))

    def fill(
        self,
        pm: PreferenceModel,
        trace: Trace,
        contrast: Contrast,
        one: FoldSearch,
        means: Means,
        rows: Integers,
    ) -> None:
        """Run the replacements on rows of the prompts that one fold held out."""
        names = {sae.name for sae in self.saes}
        selected = [feature for feature in one.growth.selected if feature.sae in names]
        self.selected[rows] = ablate_sets(
            pm, trace, [selected], rows=rows, replacement=Replacement.MEAN, means=means
        )[0]
        self.features[rows] = replace_features(pm, trace, self.saes, means, rows=rows)
        counters = _discovery_rows(contrast, one.fold, Role.COUNTER_EXAMPLE)
        self.streams[rows] = replace_streams(pm, trace, self.saes, counters, rows=rows)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rewards [row] after each intervention, from the fold that did not see the row's prompt."""

    zero: Floats
    account: Account
    """All SAEs together."""
    by_sae: tuple[Account, ...]
    """Each SAE by itself, where there are several."""
    single_sum: Floats
    null_gaps: Floats
    """[set prompt], gap of each prompt after a matched random set was ablated."""


def test_sets(
    pm: PreferenceModel,
    trace: Trace,
    contrast: Contrast,
    search: Search,
    *,
    method: MethodRecord,
) -> HeldOut:
    """Run every intervention on the prompts that each fold held out."""
    rng = np.random.default_rng(method.seed)
    zero = trace.rewards.copy()
    single_sum = np.zeros(len(trace.grid))
    null_changes = np.zeros((method.null_sets, len(trace.grid)))
    weighed = ~contrast.has_role(Role.CONTROL)
    sample = contrast.one_of_each() & weighed
    account = Account.before(trace, trace.saes)
    several = len(trace.saes) > 1
    by_sae = tuple(Account.before(trace, [sae]) for sae in trace.saes if several)
    for one in search.folds:
        selected = one.growth.selected
        rows = np.flatnonzero(contrast.of_prompts(one.fold.held_out))
        means = mean_features(trace, _discovery_rows(contrast, one.fold, Role.COUNTER_EXAMPLE))
        zero[rows] = ablate_sets(pm, trace, [selected], rows=rows, cache=search.cache)[0]
        for feature in selected:
            single_sum[rows] += search.contribution(feature)[rows]
        for each in (account, *by_sae):
            each.fill(pm, trace, contrast, one, means, rows[weighed[rows]])
        examples = contrast.has_role(Role.EXAMPLE) & contrast.of_prompts(one.fold.discovery)
        strength = {sae.name: mean_strength(trace, sae.name, examples) for sae in trace.saes}
        null_sets = [_matched_set(trace, strength, selected, rng) for _ in range(method.null_sets)]
        tried = rows[sample[rows]]
        after = ablate_sets(pm, trace, null_sets, rows=tried, cache=search.cache)
        null_changes[:, tried] = after - trace.rewards[tried]
    return HeldOut(
        zero=zero,
        account=account,
        by_sae=by_sae,
        single_sum=single_sum,
        null_gaps=contrast.gap_by_prompt(trace.rewards)
        + [contrast.gap_by_prompt(changes, among=sample) for changes in null_changes],
    )


def _discovery_rows(contrast: Contrast, fold: Fold, role: Role) -> np.ndarray:
    return np.flatnonzero(contrast.has_role(role) & contrast.of_prompts(fold.discovery))


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
        if not own:
            continue
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


def mean_strength(trace: Trace, sae_name: str, rows: Mask) -> Floats:
    """Return each latent's mean activation x decoder norm over completion tokens of ``rows``."""
    sae, features = trace.sae(sae_name), trace.features[sae_name]
    counted = rows[trace.row_of_token()][features.token.cpu().numpy()]
    latent = features.latent.cpu().numpy()[counted]
    value = features.strength.double().cpu().numpy()[counted]
    summed = np.bincount(latent, value, minlength=sae.width)
    norms = sae.W_dec.double().norm(dim=-1).cpu().numpy()
    return np.asarray(summed * norms / max(1, int(rows[trace.row_of_token()].sum())))
