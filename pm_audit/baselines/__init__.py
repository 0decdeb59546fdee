"""Baselines: what the SAE must beat, given the same number of directions and the same folds."""

from pm_audit.baselines.contest import BASELINES, run_baselines

__all__ = ["BASELINES", "run_baselines"]
