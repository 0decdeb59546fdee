"""The filters that decide which candidates may explain a gap, each with a name.

Any feature that moves the examples can cancel a gap.  So a feature may explain
a gap only if it fires on most examples, its removal shrinks the gap, and its effect falls on the
examples: its selectivity is the mean absolute contribution on examples over the sum of that mean
and the mean on all other completions.

A feature without selectivity is dropped; the filter's name gives the kind of feature by its
activations: an outlier of norm, one that is active nearly everywhere, or one
that fires on the counter-examples too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pm_audit.forward.contrast import Contrast, Floats, Mask
from pm_audit.forward.experiment import Experiment
from pm_audit.records import Feature, Role

OUTLIER_NORM = 10.0
"""A feature is an outlier if its mean norm, activation x decoder norm over the tokens on which it
fires, exceeds the median of its SAE's active features by this factor."""

EVERYWHERE = 0.5
"""A feature that fires on this share of all completion tokens stands for no claim about a text."""

COUNTER_EXAMPLES = 0.5
"""A feature that fires on this share of the counter-examples does not separate the sides."""


class Dropped(StrEnum):
    """Why a candidate may not explain the gap."""

    RARE = "fires_on_few_examples"
    """Active on fewer than half of the examples."""
    IDLE = "no_effect"
    """Its ablation does not shrink the gap; attribution was wrong about it."""
    OUTLIER = "outlier_norm"
    """Unselective, and among the SAE's features of largest norm."""
    EVERYWHERE = "high_frequency"
    """Unselective, and active on at least half of all tokens."""
    COUNTER_EXAMPLES = "fires_on_counter_examples"
    """Unselective, and active on at least half of the counter-examples."""
    UNSELECTIVE = "moves_other_completions"
    """Too much of its effect falls on counter-examples or controls on which it fires."""
    WEAKER = "weaker_than_others"
    """Selective on a first sample of phrasings, on which many others had more effect."""


@dataclass(frozen=True, eq=False)
class Activity:
    """How an SAE's latents are active over all completions of a hypothesis."""

    norm: Floats
    """[latent], over the median of those that fire."""
    token_share: Floats
    """[latent], of the completion tokens."""
    counter_example_share: Floats
    """[latent], of the counter-examples."""

    @classmethod
    def of(cls, experiment: Experiment) -> Mapping[str, Activity]:
        """Return the activity of every SAE, by its name."""
        trace, contrast = experiment.trace, experiment.contrast
        row_of_token = trace.row_of_token()
        counters = contrast.has_role(Role.COUNTER_EXAMPLE)
        found = {}
        for sae in trace.saes:
            features = trace.features[sae.name]
            latent, row = features.latent_here, row_of_token[features.token_here]
            fired = np.bincount(latent, minlength=sae.width)
            strength = features.strength.double().cpu().numpy()
            decoder_norm = sae.W_dec.double().norm(dim=-1).cpu().numpy()
            norm = np.bincount(latent, strength, minlength=sae.width) * decoder_norm
            norm /= np.maximum(fired, 1)
            median = float(np.median(norm[fired > 0])) if fired.any() else 1.0
            pairs = np.unique(np.stack([latent, row])[:, counters[row]], axis=1)
            on_counters = np.bincount(pairs[0], minlength=sae.width)
            found[sae.name] = cls(
                norm=norm / (median or 1.0),
                token_share=fired / max(1, len(row_of_token)),
                counter_example_share=on_counters / max(1, int(counters.sum())),
            )
        return found

    def kind(self, latent: int) -> Dropped:
        """Return the filter that an unselective latent falls to."""
        if self.norm[latent] >= OUTLIER_NORM:
            return Dropped.OUTLIER
        if self.token_share[latent] >= EVERYWHERE:
            return Dropped.EVERYWHERE
        if self.counter_example_share[latent] >= COUNTER_EXAMPLES:
            return Dropped.COUNTER_EXAMPLES
        return Dropped.UNSELECTIVE


def selectivity(contribution: Floats, contrast: Contrast, rows: Mask) -> float:
    """Return the share of a feature's absolute contribution [row] that falls on examples.

    Rows that were run stand for all rows of their role; NaN marks those that were not.  A role that
    was not run at all counts as unmoved.
    """
    run = rows & ~np.isnan(contribution)

    def size(role: Role) -> float:
        own = run & contrast.has_role(role)
        return float(np.abs(contribution[own]).mean()) if own.any() else 0.0

    others = (Role.COUNTER_EXAMPLE, Role.CONTROL)
    counts = [int((rows & contrast.has_role(role)).sum()) for role in others]
    on_examples = size(Role.EXAMPLE)
    sums = sum(count * size(role) for count, role in zip(counts, others, strict=True))
    total = on_examples + sums / max(1, sum(counts))
    return on_examples / total if total > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of one fold."""

    contrast: Contrast
    rows: Mask
    """[row], whether it belongs to the fold's discovery prompts."""
    rare: frozenset[Feature]
    """Candidates that fire on too few examples."""
    least_selectivity: float
    activity: Mapping[str, Activity]

    def reason(
        self, feature: Feature, gain: float, contribution: Floats, *, slack: float = 0.0
    ) -> Dropped | None:
        """Return why the feature may not explain the gap, or None if it may.

        ``gain`` is what its ablation takes away of the gap on the discovery prompts; ``slack`` is
        how far below the required selectivity its contribution [row] may lie.
        """
        if feature in self.rare:
            return Dropped.RARE
        if not gain > 0:
            return Dropped.IDLE
        least = self.least_selectivity - slack
        if not selectivity(contribution, self.contrast, self.rows) >= least:
            return self.activity[feature.sae].kind(feature.index)
        return None

    def verdict(
        self, feature: Feature, gain: float, contribution: Floats, *, slack: float
    ) -> Dropped | None:
        """Return the reason; WEAKER if it passed a first sample, with slack, and was not run on."""
        unfinished = bool(np.isnan(contribution[self.rows]).any())
        if unfinished and self.reason(feature, gain, contribution, slack=slack) is None:
            return Dropped.WEAKER
        return self.reason(feature, gain, contribution)
