"""From a clean forward to evidence: propose, ablate, grow, and test on other prompts."""

from pm_audit.discover.describe import describe
from pm_audit.discover.evidence import searched, unsearched
from pm_audit.discover.feature_index import in_corpus, read_indices
from pm_audit.discover.folds import Fold, split
from pm_audit.discover.held_out import HeldOut, test_sets
from pm_audit.discover.measured import measure
from pm_audit.discover.placebo import run_placebo
from pm_audit.discover.propose import Proposal, propose
from pm_audit.discover.select import Search, select

__all__ = [
    "Fold",
    "HeldOut",
    "Proposal",
    "Search",
    "describe",
    "in_corpus",
    "measure",
    "propose",
    "read_indices",
    "run_placebo",
    "searched",
    "select",
    "split",
    "test_sets",
    "unsearched",
]
