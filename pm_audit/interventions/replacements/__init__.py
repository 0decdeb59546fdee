"""Replacements: what stands in an ablated feature's place, a file each."""

from pm_audit.interventions.replacements.contrast import CONTRAST, contrast_features
from pm_audit.interventions.replacements.mean import MEAN, mean_features
from pm_audit.interventions.replacements.registry import replacement, replacements
from pm_audit.interventions.replacements.replacement import Replacement
from pm_audit.interventions.replacements.resample import RESAMPLE, resampled_features
from pm_audit.interventions.replacements.zero import ZERO, zero_features

__all__ = [
    "CONTRAST",
    "MEAN",
    "RESAMPLE",
    "ZERO",
    "Replacement",
    "contrast_features",
    "mean_features",
    "replacement",
    "replacements",
    "resampled_features",
    "zero_features",
]
