"""Frozen results of an audit, with JSON in and out.

The record is the product: the terminal, JUnit, Markdown, HTML and tables are views of it, and
every figure of a verdict can be computed again from the evidence that the record holds.
Nothing here imports torch.

Sign: a contribution is reward minus reward after ablation, so positive means that the feature
raises the reward.  Rewards are in the PM's raw units unless a unit says otherwise.
"""

from pm_audit.records.atomic import require_writable, write_atomically
from pm_audit.records.base import (
    NOT_PASSED,
    CheckResult,
    Feature,
    Figure,
    Finite,
    Outcome,
    Record,
    Role,
    Unit,
)
from pm_audit.records.check import Check
from pm_audit.records.evidence import (
    AlongsideEvidence,
    BaselineEvidence,
    Evidence,
    FeatureRecord,
    Firing,
    FoldEvidence,
    FurtherPrompt,
    Neighbour,
    NullEvidence,
    PlaceboEvidence,
    RowEvidence,
    SaeFit,
    StageEvidence,
    SweepEvidence,
    TransferEvidence,
)
from pm_audit.records.explanation import (
    Alongside,
    Baseline,
    BaselinePoint,
    GapDecomposition,
    Transfer,
)
from pm_audit.records.generated import BreakingEdit, GeneratedEvidence
from pm_audit.records.label import FeatureLabel, LabelSource
from pm_audit.records.ours import require_ours
from pm_audit.records.pairs import PairsEvidence, SkippedRow
from pm_audit.records.run import (
    SCHEMA_VERSION,
    AuditRecord,
    Departure,
    HypothesisRecord,
    ManifestEntry,
    Unplanned,
)
from pm_audit.records.subject import MethodRecord, SaeRecord, SubjectRecord
from pm_audit.records.versions import versions_of

__all__ = [
    "NOT_PASSED",
    "SCHEMA_VERSION",
    "Alongside",
    "AlongsideEvidence",
    "AuditRecord",
    "Baseline",
    "BaselineEvidence",
    "BaselinePoint",
    "BreakingEdit",
    "Check",
    "CheckResult",
    "Departure",
    "Evidence",
    "Feature",
    "FeatureLabel",
    "FeatureRecord",
    "Figure",
    "Finite",
    "Firing",
    "FoldEvidence",
    "FurtherPrompt",
    "GapDecomposition",
    "GeneratedEvidence",
    "HypothesisRecord",
    "LabelSource",
    "ManifestEntry",
    "MethodRecord",
    "Neighbour",
    "NullEvidence",
    "Outcome",
    "PairsEvidence",
    "PlaceboEvidence",
    "Record",
    "Role",
    "RowEvidence",
    "SaeFit",
    "SaeRecord",
    "SkippedRow",
    "StageEvidence",
    "SubjectRecord",
    "SweepEvidence",
    "Transfer",
    "TransferEvidence",
    "Unit",
    "Unplanned",
    "require_ours",
    "require_writable",
    "versions_of",
    "write_atomically",
]
