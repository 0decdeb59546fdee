"""A record that is whole and follows from its evidence, and ways to change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pm_audit.records import AuditRecord


@pytest.fixture(scope="session")
def judged(judged_record_path) -> AuditRecord:
    return AuditRecord.read(judged_record_path)


@pytest.fixture(scope="session")
def edited() -> Callable[..., AuditRecord]:
    """Return ``edited(record, name, **update)``: one hypothesis of a record with other fields."""

    def edit(record: AuditRecord, name: str, **update: Any) -> AuditRecord:
        hypotheses = tuple(
            one.model_copy(update=update) if one.name == name else one for one in record.hypotheses
        )
        return record.model_copy(update={"hypotheses": hypotheses})

    return edit
