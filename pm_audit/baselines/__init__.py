"""Baselines: what the SAE must beat, given the same number of directions and the same folds."""

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.contest import run_baselines
from pm_audit.baselines.registry import baselines

__all__ = ["Baseline", "baselines", "run_baselines"]
