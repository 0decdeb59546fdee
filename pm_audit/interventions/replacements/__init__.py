"""Replacements: what stands in an ablated feature's place, a file each."""

from pm_audit.interventions.replacements.mean import MEAN, mean_features
from pm_audit.interventions.replacements.registry import replacement, replacements
from pm_audit.interventions.replacements.replacement import Replacement
from pm_audit.interventions.replacements.zero import ZERO

__all__ = ["MEAN", "ZERO", "Replacement", "mean_features", "replacement", "replacements"]
