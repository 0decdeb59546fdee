"""Where the gap lives: for all SAEs together and for each alone."""

from __future__ import annotations

import pytest

from pm_audit.judging import judge, rejudge
from pm_audit.records import Evidence, StageEvidence


def staged(evidence: Evidence, **left: tuple[float, ...]) -> Evidence:
    """Return evidence in which these gaps are left after each stage, for each SAE."""

    def rewards(share: float) -> tuple[float, ...]:
        return tuple(share * (row.role == "example") for row in evidence.rows)

    stages = ("selected", "features", "stream", "error", "others")
    found = tuple(
        StageEvidence(
            sae=None if name == "together" else name,
            layer=None if name == "together" else number,
            **{stage: rewards(share) for stage, share in zip(stages, (*shares, 0.0), strict=True)},
        )
        for number, (name, shares) in enumerate(left.items())
    )
    return evidence.model_copy(update={"stages": found})


def test_each_decomposition_sums_to_the_gap(make_evidence, make_hypothesis, method, gaps):
    shares = {
        "together": (0.6, 0.4, 0.1, 0.7),
        "low": (0.9, 0.4, 0.1, 0.9),
        "high": (0.5, 0.5, 0.5, 1.0),
    }
    record = judge(make_hypothesis(), staged(make_evidence(gaps), **shares), (), method=method)
    together, low, high = record.decompositions
    assert [(one.sae, one.layer) for one in record.decompositions] == [
        (None, None),
        ("low", 1),
        ("high", 2),
    ]
    for one in record.decompositions:
        parts = (one.selected, one.other_features, one.error_term, one.rest)
        assert sum(part.value for part in parts) == pytest.approx(record.gap.value)
    assert together.selected.value == pytest.approx(record.gap.value - 0.6)
    assert low.other_features.value == pytest.approx(0.5)
    assert low.error_term.value == pytest.approx(0.3)
    assert low.rest.value == pytest.approx(0.1)
    assert high.error_term.value == pytest.approx(0.0)
    assert together.error_first.value == pytest.approx(record.gap.value - 0.7)
    assert high.error_first.value == pytest.approx(record.gap.value - 1.0)
    assert rejudge(record, method=method) == record


def test_without_stages_nothing_is_decomposed(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    assert record.decompositions == ()


def test_a_field_that_is_added_later_leaves_a_digest_alone(
    make_evidence, make_hypothesis, method, gaps
):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    older = record.model_dump(mode="json")
    del older["decompositions"], older["evidence"]["stages"], older["baselines"]
    assert type(record).model_validate(older).computed_digest() == record.digest
