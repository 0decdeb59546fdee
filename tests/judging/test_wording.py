"""Advice is true: it names the setting where the setting is the cause."""

import pytest

from pm_audit.judging import judge
from pm_audit.judging.wording import more_prompts
from pm_audit.records import Outcome


@pytest.mark.parametrize(
    ("tried", "of", "at_most", "advice"),
    [
        (16, 30, 16, "16 of 30 prompts were tried: raise the setting `prompts`"),
        (16, 16, 16, "add prompts, and raise the setting `prompts` from 16"),
        (16, None, 16, "add prompts, and raise the setting `prompts` from 16"),
        (8, 8, 16, "add prompts"),
        (8, 8, None, "add prompts"),
    ],
)
def test_advice_names_the_setting_where_it_is_the_cause(tried, of, at_most, advice):
    assert more_prompts(tried, of=of, at_most=at_most) == advice


def test_every_advice_about_prompts_follows_what_was_left_out(
    make_evidence, make_hypothesis, method, gaps
):
    doubtful = tuple(gap - 1.0 for gap in gaps)
    prompt = make_hypothesis().prompts[0]
    many = make_hypothesis().model_copy(update={"prompts": (prompt,) * 30})
    few = make_hypothesis().model_copy(update={"prompts": (prompt,) * 5})
    evidence = make_evidence(doubtful)
    record = judge(many, evidence, (), method=method)
    gap = record.checks[0]
    assert gap.outcome is Outcome.INCONCLUSIVE
    assert "16 of 30 prompts were tried: raise the setting `prompts`" in gap.reason
    straddling = make_evidence(gaps, closure=0.5, jitter=0.3)
    explained = judge(many, straddling, (), method=method).checks[1]
    assert explained.outcome is Outcome.INCONCLUSIVE
    assert "raise the setting `prompts`" in explained.reason
    invalid = judge(few, make_evidence(gaps[:5]), (), method=method)
    assert invalid.checks[0].reason.endswith("give steady intervals: add prompts")
    assert invalid.warnings[0].endswith("unsteady below 10; add prompts")
