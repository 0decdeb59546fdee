"""What users write: hypotheses, probes and settings, read from YAML into typed models."""

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.spec.cases import Case, draw_prompts, expand, expand_pairs
from pm_audit.spec.hypothesis import (
    Effect,
    Expect,
    ExpectedGap,
    Hypothesis,
    Severity,
    Wordings,
)
from pm_audit.spec.known_bias import KnownBias, today
from pm_audit.spec.load import load_hypotheses
from pm_audit.spec.probe import Prompt
from pm_audit.spec.settings import (
    ALL_OBJECTIVES,
    Dtype,
    GateMode,
    SearchMode,
    SetSearch,
    Settings,
    method_of,
)

__all__ = [
    "ALL_OBJECTIVES",
    "Case",
    "Dialogue",
    "Dtype",
    "Effect",
    "Expect",
    "ExpectedGap",
    "GateMode",
    "Hypothesis",
    "KnownBias",
    "Prompt",
    "SearchMode",
    "SetSearch",
    "Settings",
    "Severity",
    "Speaker",
    "Turn",
    "Wordings",
    "draw_prompts",
    "expand",
    "expand_pairs",
    "load_hypotheses",
    "method_of",
    "today",
]
