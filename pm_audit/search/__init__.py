"""From a clean forward to evidence: propose, ablate, grow, and test on other prompts."""

from pm_audit.search.describe import describe, shown
from pm_audit.search.evidence import searched, unsearched
from pm_audit.search.folds import Fold, by_phrasing, halves, split
from pm_audit.search.held_out import HeldOut, test_sets, transfer
from pm_audit.search.measured import Measured
from pm_audit.search.placebo import run_placebo
from pm_audit.search.propose import Proposal, propose
from pm_audit.search.select import FoldSearch, Selector
from pm_audit.search.singles import Singles, run_singles

__all__ = [
    "Fold",
    "FoldSearch",
    "HeldOut",
    "Measured",
    "Proposal",
    "Selector",
    "Singles",
    "by_phrasing",
    "describe",
    "halves",
    "propose",
    "run_placebo",
    "run_singles",
    "searched",
    "shown",
    "split",
    "test_sets",
    "transfer",
    "unsearched",
]
