"""Full audits of a PM with known biases, here a constructed one that stands for the trained."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Outcome
from pm_audit.spec import ExpectedGap, expand
from recipes.biased.biases import Bias
from recipes.calibrate import explained
from recipes.calibrate.chance import CONTROL, PLACEBO
from recipes.calibrate.explained import audit_bias, audit_nothing, hypothesis


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_hypothesis_is_written_as_a_user_would(quiet: Bias) -> None:
    written = hypothesis(quiet, generator())
    assert written.expect.gap is ExpectedGap.LOWERS
    assert len({prompt.wordings for prompt in written.prompts}) == len(written.prompts) == 16
    example, counter = expand(written)[:2]
    assert example.text.replace("~", ";") == counter.text


def test_a_coin_deals_the_negative_control(negative_control: Bias) -> None:
    written = hypothesis(negative_control, generator())
    assert {prompt.fields["one"] for prompt in written.prompts} == {"!", ";"}


def test_a_bias_is_explained_on_fresh_prompts_too(
    auditor: Auditor, loud: Bias, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explained, "FRESH", 100)  # more than there are questions
    (found,) = audit_bias(auditor, loud, generator(), audits=1)
    assert (found.name, found.subject, found.selected) == ("loud", "biased", 1)
    assert found.fresh == pytest.approx(1, abs=1e-3)
    assert found.closure is not None
    assert found.closure.value == pytest.approx(1, abs=1e-3)
    assert found.explained is Outcome.PASS


def test_exchanged_labels_and_negative_controls_are_told_apart(
    auditor: Auditor, loud: Bias, negative_control: Bias
) -> None:
    kinds = [
        [one.kind for one in audit_nothing(auditor, bias, generator(), audits=2)]
        for bias in (loud, negative_control)
    ]
    assert kinds == [[PLACEBO] * 2, [CONTROL] * 2]
