"""Evidence to verdict: figures with intervals, checks, and the reasons in sentences.

Everything here is computed from plain numbers that the record holds, deterministically, so
that a record can be judged again and must come out the same.
"""

from pm_audit.judging.checks import CheckRule, Question, rule_of, rules
from pm_audit.judging.checks.fit import FVU_CEILING
from pm_audit.judging.judge import figure_of, judge, rejudge, settle
from pm_audit.judging.policy import accepted_by_bias, read_expect, read_known_bias
from pm_audit.judging.soundness import require_sound
from pm_audit.judging.verify import verify

__all__ = [
    "FVU_CEILING",
    "CheckRule",
    "Question",
    "accepted_by_bias",
    "figure_of",
    "judge",
    "read_expect",
    "read_known_bias",
    "rejudge",
    "require_sound",
    "rule_of",
    "rules",
    "settle",
    "verify",
]
