"""From a clean forward to evidence: propose, ablate, grow, and test on other prompts."""

from pm_audit.search.describe import describe
from pm_audit.search.evidence import searched, unsearched
from pm_audit.search.folds import Fold, split
from pm_audit.search.held_out import HeldOut, test_sets
from pm_audit.search.measured import measure
from pm_audit.search.placebo import run_placebo
from pm_audit.search.propose import Proposal, propose
from pm_audit.search.select import Search, select

__all__ = [
    "Fold",
    "HeldOut",
    "Proposal",
    "Search",
    "describe",
    "measure",
    "propose",
    "run_placebo",
    "searched",
    "select",
    "split",
    "test_sets",
    "unsearched",
]
