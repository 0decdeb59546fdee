"""Rivals: what the SAE must beat, given the same number of directions and the same folds."""

from pm_audit.baselines.contest import RIVALS, run_rivals

__all__ = ["RIVALS", "run_rivals"]
