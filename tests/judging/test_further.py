"""Figures if features were searched for on some of the prompts alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pm_audit.errors import NumericalError
from pm_audit.judging import judge
from pm_audit.judging.figures import measure
from pm_audit.records import Check, Evidence, FurtherPrompt, HypothesisRecord, Outcome
from tests.judging.conftest import METHOD, evidence_of, hypothesis_of

NONE = np.linspace(-0.3, 0.3, 12)
SOME = np.linspace(0.8, 1.2, 12)


def with_further(evidence: Evidence, gaps: Sequence[float]) -> Evidence:
    further = tuple(FurtherPrompt(id=f"f{at}", gap=gap) for at, gap in enumerate(gaps))
    return evidence.model_copy(update={"further": further})


def judged(evidence: Evidence) -> HypothesisRecord:
    return judge(hypothesis_of(), evidence, (), method=METHOD)


def test_the_gap_and_its_interval_are_of_every_prompt_and_shares_of_those_searched():
    rest = np.linspace(2.0, 4.0, 30)
    record, alone = judged(with_further(evidence_of(SOME), rest)), judged(evidence_of(SOME))
    whole = judged(evidence_of([*SOME, *rest]))
    assert record.gap.value == pytest.approx(np.concatenate([SOME, rest]).mean())
    assert (record.gap.low, record.gap.high) == pytest.approx((whole.gap.low, whole.gap.high))
    assert record.p_value == whole.p_value
    assert record.minimum_detectable_gap == pytest.approx(whole.minimum_detectable_gap)
    assert record.searched_gap == alone.gap
    for name in ("closure", "collateral", "residual_share", "residual", "null_closure"):
        assert getattr(record, name) == getattr(alone, name), name


def test_the_order_of_further_prompts_changes_nothing():
    one, other = (judged(with_further(evidence_of(SOME), gaps)) for gaps in (NONE, NONE[::-1]))
    assert one.gap == other.gap


@pytest.mark.parametrize("searched", [NONE, -SOME])
def test_prompts_with_a_search_that_lack_the_gap_are_invalid_and_name_the_setting(searched):
    record = judged(with_further(evidence_of(searched), np.full(200, 2.0)))
    assert record.outcomes[Check("gap")] is Outcome.PASS
    assert record.closure is None
    for result in record.checks:
        if result.check in (Check.EXPLAINED, Check.SPECIFIC):
            assert result.outcome is Outcome.INVALID
            assert "the prompts on which features are searched for have no gap" in result.reason
            assert "12 of 212 prompts: raise the setting `searched_prompts`" in result.reason


def test_more_prompts_for_a_share_are_more_with_a_search():
    evidence = with_further(evidence_of(SOME, closure=0.8, jitter=0.2), SOME)
    record = judge(hypothesis_of(closure=0.8), evidence, (), method=METHOD)
    (result,) = [one for one in record.checks if one.check == Check.EXPLAINED]
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "12 of 24 prompts: raise the setting `searched_prompts`" in result.reason


def test_a_gap_that_is_not_finite_is_refused():
    harmed = with_further(evidence_of(SOME), NONE).model_copy(
        update={"further": (FurtherPrompt.model_construct(id="\x1b", gap=float("nan")),)}
    )
    with pytest.raises(NumericalError, match=r"prompt '\\x1b': its gap is nan"):
        measure(harmed, METHOD, margin=0.1)
