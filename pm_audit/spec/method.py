"""What of the settings could change a figure, as a record holds it."""

from __future__ import annotations

from pm_audit.records import MethodRecord
from pm_audit.spec.settings import SearchMode, Settings

_OF_A_BUDGET = {"budget_count", "budget_seconds"}


def method_of(settings: Settings, *, quadrature: str) -> MethodRecord:
    """Return the method that settings ask for.

    Args:
        settings: of a run.
        quadrature: the rule that integrated gradients follow, named by the engine.

    """
    told = set(MethodRecord.model_fields)
    if settings.search is not SearchMode.BUDGET:
        told -= _OF_A_BUDGET
    return MethodRecord(quadrature=quadrature, **settings.model_dump(mode="json", include=told))
