"""What users write: hypotheses, probes and settings, read from YAML into typed models."""

from pm_audit.spec.cases import Case, expand
from pm_audit.spec.dialogue import Dialogue, Speaker, Turn
from pm_audit.spec.hypothesis import (
    Effect,
    Expect,
    ExpectedGap,
    Hypothesis,
    KnownBias,
    Severity,
    Wordings,
    today,
)
from pm_audit.spec.load import load_hypotheses, load_hypothesis, load_probe
from pm_audit.spec.probe import Probe, Prompt
from pm_audit.spec.schema import json_schema
from pm_audit.spec.settings import (
    ALL_OBJECTIVES,
    Dtype,
    GateMode,
    SearchMode,
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
    "Probe",
    "Prompt",
    "SearchMode",
    "Settings",
    "Severity",
    "Speaker",
    "Turn",
    "Wordings",
    "expand",
    "json_schema",
    "load_hypotheses",
    "load_hypothesis",
    "load_probe",
    "method_of",
    "today",
]
