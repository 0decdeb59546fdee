"""A sample of the mutants that ``python -m tests.fuzz`` tries by the thousand."""

from __future__ import annotations

import pytest

from pm_audit.errors import AuditError
from tests.fuzz import run as fuzzing

# peft asks transformers by an older name
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")


@pytest.mark.parametrize(("kind", "count"), [("saes", 250), ("pms", 120)])
def test_mutants_load_or_are_refused(kind: str, count: int) -> None:
    outcome = fuzzing.run(kind, 1_000_000, count)
    assert outcome.faults == []
    assert outcome.loaded + outcome.refused == count
    assert outcome.loaded > count // 50
    assert outcome.refused > count // 4


def test_a_fault_is_told_from_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [KeyError("torn"), AuditError("refused"), None]

    def trial(number: int) -> None:
        if problems[number] is not None:
            raise problems[number]

    monkeypatch.setattr(fuzzing, "_saes", lambda _: trial)
    outcome = fuzzing.run("saes", 0, 3)
    assert (outcome.loaded, outcome.refused) == (1, 1)
    assert len(outcome.faults) == 1
    assert "KeyError" in outcome.faults[0]
