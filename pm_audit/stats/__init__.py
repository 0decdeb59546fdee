"""Inference over prompts: intervals, equivalence, exact p-values, multiplicity, power, folds."""

from pm_audit.stats.bootstrap import (
    Interval,
    PromptBootstrap,
    mean_of,
    mean_over_prompts,
    ratio_of,
)
from pm_audit.stats.clusters import clustered_mean, clustered_share
from pm_audit.stats.equivalence import equivalence_p_value
from pm_audit.stats.multiplicity import benjamini_hochberg
from pm_audit.stats.power import minimum_detectable_gap
from pm_audit.stats.random_effects import between_variance, widening
from pm_audit.stats.randomisation import sign_flip_p_value

__all__ = [
    "Interval",
    "PromptBootstrap",
    "benjamini_hochberg",
    "between_variance",
    "clustered_mean",
    "clustered_share",
    "equivalence_p_value",
    "mean_of",
    "mean_over_prompts",
    "minimum_detectable_gap",
    "ratio_of",
    "sign_flip_p_value",
    "widening",
]
