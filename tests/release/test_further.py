"""The gate on large preference sets, most of whose prompts are read for their gap alone."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.judging import judge
from pm_audit.records import Evidence, FurtherPrompt, HypothesisRecord, PairsEvidence
from pm_audit.release.figures import figure_changes
from pm_audit.release.texts import paired_further
from pm_audit.release.tolerance import Tolerance
from pm_audit.report.changes import ChangeKind
from tests.judging.conftest import METHOD, evidence_of, hypothesis_of

SEARCHED = np.linspace(0.8, 1.2, 12)
FURTHER = np.linspace(0.9, 1.1, 200)


def evidence(moved: float = 0.0, *, sha256: str = "a", renamed: str = "") -> Evidence:
    further = tuple(
        FurtherPrompt(id=f"f{renamed if at == 3 else ''}{at}", gap=gap + moved)
        for at, gap in enumerate(FURTHER)
    )
    pairs = PairsEvidence(file="p", sha256=sha256, rows=212, excluded=0, used=212, skipped={})
    return evidence_of(SEARCHED).model_copy(update={"further": further, "pairs": pairs})


def judged(found: Evidence) -> HypothesisRecord:
    return judge(hypothesis_of(), found, (), method=METHOD)


def changes(old: Evidence, new: Evidence) -> list[tuple[ChangeKind, str]]:
    found = figure_changes(judged(old), judged(new), Tolerance())
    return [(one.kind, one.message) for one in found]


def test_a_gap_that_grew_on_further_prompts_alone_is_found():
    ((kind, message),) = changes(evidence(), evidence(1.0))
    assert kind is ChangeKind.GAP_GROWN
    assert "paired by prompt, change +0.94" in message  # 200 of 212 prompts by one sigma


def test_equal_runs_do_not_differ():
    assert changes(evidence(), evidence()) == []


@pytest.mark.parametrize("other", [{"sha256": "b"}, {"renamed": "x"}])
def test_prompts_whose_texts_may_be_others_are_not_paired(other):
    assert paired_further(evidence(), evidence(**other)) is None
    kinds = [kind for kind, _ in changes(evidence(), evidence(**other))]
    assert kinds == [ChangeKind.NOT_COMPARABLE]


def test_without_further_prompts_nothing_is_paired():
    assert paired_further(evidence_of(SEARCHED), evidence_of(SEARCHED)) == ([], [])
