"""The release gate: one record compared with the last release's, hypothesis by hypothesis.

A record is believed only when it is whole, unaltered and follows from its own evidence
(``believed``).  Then three things are compared with the baseline: how the PM was measured
(``method``), what was expected of it (``policy``), and what was found (``figures``,
``features``, the outcomes of the checks).
"""

from pm_audit.release.believed import read_believed, require_whole
from pm_audit.release.hypotheses import compare
from pm_audit.release.known import known_checks
from pm_audit.release.tolerance import Tolerance

__all__ = [
    "Tolerance",
    "compare",
    "known_checks",
    "read_believed",
    "require_whole",
]
