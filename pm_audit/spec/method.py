"""What of the settings could change a figure, as a record holds it."""

from __future__ import annotations

from pm_audit.records import MethodRecord
from pm_audit.spec.settings import Settings

_OF_A_BUDGET = ("budget_count", "budget_seconds")


def method_of(settings: Settings, *, quadrature: str) -> MethodRecord:
    """Return the method that settings ask for.

    Args:
        settings: of a run.
        quadrature: the rule that integrated gradients follow, named by the engine.

    """
    told = settings.model_dump(mode="json", include=set(MethodRecord.model_fields))
    if told.get("search") != "budget":
        told = {name: value for name, value in told.items() if name not in _OF_A_BUDGET}
    return MethodRecord(quadrature=quadrature, **told)
