"""Audit preference models the way pytest tests code.

``import pm_audit`` imports neither torch nor any part of the package: each name below is imported
when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pm_audit.version import __version__ as __version__

if TYPE_CHECKING:
    from pm_audit import strategies as strategies
    from pm_audit.api import (
        audit,
        compare,
        doctor,
        explain,
        load_hypotheses,
        load_pm,
        load_sae,
        read_history,
        read_record,
        rewards,
    )
    from pm_audit.data import Columns, Sample, read_pairs
    from pm_audit.errors import AuditError
    from pm_audit.judging.miscalibration import miscalibration
    from pm_audit.pipelines.exploiting.request import exploit
    from pm_audit.pipelines.repairing.request import repair
    from pm_audit.records import AuditRecord
    from pm_audit.sets import diff, propose, scan, score
    from pm_audit.spec import Hypothesis, Settings

__all__ = [
    "AuditError",
    "AuditRecord",
    "Columns",
    "Hypothesis",
    "Sample",
    "Settings",
    "audit",
    "compare",
    "diff",
    "doctor",
    "explain",
    "exploit",
    "load_hypotheses",
    "load_pm",
    "load_sae",
    "miscalibration",
    "propose",
    "read_history",
    "read_pairs",
    "read_record",
    "repair",
    "rewards",
    "scan",
    "score",
]

_ELSEWHERE = {
    "AuditError": "pm_audit.errors",
    "AuditRecord": "pm_audit.records",
    "Columns": "pm_audit.data",
    "Hypothesis": "pm_audit.spec",
    "Sample": "pm_audit.data",
    "Settings": "pm_audit.spec",
    "diff": "pm_audit.sets",
    "exploit": "pm_audit.pipelines.exploiting.request",
    "miscalibration": "pm_audit.judging.miscalibration",
    "propose": "pm_audit.sets",
    "read_pairs": "pm_audit.data",
    "repair": "pm_audit.pipelines.repairing.request",
    "scan": "pm_audit.sets",
    "score": "pm_audit.sets",
}
"""Modules of the names that are not in ``pm_audit.api``."""


def __getattr__(name: str) -> object:
    if name == "strategies":
        return import_module("pm_audit.strategies")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_ELSEWHERE.get(name, "pm_audit.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    # the public names alone: what tab completion offers
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
