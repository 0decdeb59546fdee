"""Single effects of the features that a report describes.

Each is replaced alone, on one completion of each prompt and role, the phrasings taken in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Contrast, Floats
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.targets import Targets
from pm_audit.interventions.ablation import ablate_each
from pm_audit.records import Feature, Role


@dataclass(frozen=True, eq=False)
class Singles:
    """What features do alone."""

    features: tuple[Feature, ...]
    contributions: Floats
    """[feature row], reward minus reward with the feature alone replaced; NaN if not run."""

    def of(self, feature: Feature) -> Floats:
        """Return one feature's contribution, [row]."""
        row: Floats = self.contributions[self.features.index(feature)]
        return row

    def summed(self, features: Sequence[Feature]) -> Floats:
        """Return the sum of some features' contributions, [row]."""
        own = [self.features.index(feature) for feature in features]
        return np.asarray(self.contributions[own].sum(axis=0))


def run_singles(experiment: Experiment, features: Sequence[Feature], targets: Targets) -> Singles:
    """Replace each feature alone."""
    trace, sample = experiment.trace, experiment.contrast.one_of_each()
    rows = np.flatnonzero(sample)
    contributions = np.full((len(features), len(sample)), np.nan)
    for sae in trace.saes:
        own = np.flatnonzero([feature.sae == sae.name for feature in features])
        latents = [features[int(at)].index for at in own]
        effects = ablate_each(trace, sae, latents, rows=rows, targets=targets)
        contributions[np.ix_(own, rows)] = effects.dense(latents, rows)
    return Singles(tuple(features), contributions)


def selectivity(contribution: Floats, contrast: Contrast) -> float:
    """Return the share of a feature's absolute contribution [row] that falls on examples.

    It is the mean size on examples over the sum of that mean and the mean on all other completions;
    NaN marks rows that were not run.
    """
    run = ~np.isnan(contribution)
    sizes = [
        float(np.abs(contribution[run & contrast.has_role(*roles)]).mean())
        for roles in ((Role.EXAMPLE,), (Role.COUNTER_EXAMPLE, Role.CONTROL))
    ]
    return sizes[0] / sum(sizes) if sum(sizes) > 0 else 0.0
