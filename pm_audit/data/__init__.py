"""Preference sets: pairs of any origin, read into one form."""

from pm_audit.data.columns import Columns
from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.data.pair import Pair, PairSet, Scalar, Skipped, SkipReason
from pm_audit.data.read import KeyProblem, read_pairs, read_rows
from pm_audit.data.sampling import Sample

__all__ = [
    "Columns",
    "Dialogue",
    "KeyProblem",
    "Pair",
    "PairSet",
    "Sample",
    "Scalar",
    "SkipReason",
    "Skipped",
    "Speaker",
    "Turn",
    "read_pairs",
    "read_rows",
]
