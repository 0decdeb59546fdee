"""Where a feature fires: whole texts, and every token of them on which it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.pipelines.audit import Auditor
from pm_audit.records import HypothesisRecord
from pm_audit.search.describe import FIRINGS, FIRINGS_OF_OTHERS, firing
from pm_audit.spec import Effect, Expect, ExpectedGap, Hypothesis, Prompt, Settings
from pm_audit.text.text_format import TokenisedRow
from recipes.planted.linear import STRENGTH, plant

torch.set_num_threads(1)


def audit_with(expected: ExpectedGap, **settings) -> tuple[HypothesisRecord, int]:
    # one mark carries the gap, another next to nothing of it
    model = plant({"!": 0.3, "~": 0.001}, seed=1)
    settings = Settings(null_sets=2, candidates=6, bootstrap_resamples=100, **settings)
    hypothesis = Hypothesis(
        name="marks",
        file="marks.yaml",
        claim="Two marks raise the reward.",
        effect=Effect.RAISES,
        prompts=tuple(
            Prompt(id=f"p{number}", wordings=(f"{word}?",), fields={"word": word})
            for number, word in enumerate(("rain", "tea!", "snow", "wind", "salt", "iron", "oak"))
        ),
        examples=(" {word}! yes!~",),
        counter_examples=(" {word}; yes;;",),
        expect=Expect(gap=expected),
    )
    record = Auditor(settings, subject=(model.pm, (model.sae,))).audit(hypothesis)
    return record, model.latent_of["!"]


@pytest.fixture(scope="module")
def audited() -> tuple[HypothesisRecord, int]:
    return audit_with(ExpectedGap.RAISES)


def test_every_firing_token_of_a_completion_is_told(audited):
    record, latent = audited
    feature = next(feature for feature in record.features if feature.index == latent)
    assert feature.folds
    assert len(feature.firings) == FIRINGS
    assert sum(len(firing.others) for firing in feature.firings) > 1
    for one in feature.firings:
        whole = one.before + one.token + one.after
        assert one.token == "!"
        assert one.activation == pytest.approx(STRENGTH)
        assert {whole[start:end] for start, end, _ in one.others} <= {"!"}
        completion = whole.split("Assistant:")[1]
        # a mark in the prompt was not read; the strongest of equals is the first
        assert 1 + len(one.others) == completion.count("!")
        assert all(value == pytest.approx(STRENGTH, 1e-3) for *_, value in one.others)


def test_texts_are_whole_different_and_few_for_what_was_left_out(audited):
    record, _ = audited
    for feature in record.features:
        texts = [firing.before + firing.token + firing.after for firing in feature.firings]
        assert len(set(texts)) == len(texts)
        assert all(text.startswith("\n\nHuman: ") for text in texts)
        strengths = [firing.activation for firing in feature.firings]
        assert strengths == sorted(strengths, reverse=True)
        if not feature.folds:
            assert len(texts) <= FIRINGS_OF_OTHERS
    assert any(not feature.folds for feature in record.features)


def test_a_gap_where_none_was_expected_is_searched_all_the_same():
    record, latent = audit_with(ExpectedGap.NONE, prompts=6)
    assert record.closure is not None
    selected = [feature.index for feature in record.features if feature.folds]
    assert selected == [latent]
    outcomes = {result.check.value: result.outcome.value for result in record.checks}
    assert (outcomes["gap"], outcomes["explained"]) == ("fail", "skipped")
    assert (len(record.evidence.prompts), record.probe_prompts) == (6, 7)


def firing_at(position: int, **names):
    row = TokenisedRow(
        token_ids=(3, 4, 99),
        completion_start=1,
        offsets=((0, 2), (2, 4), (4, 4)),
        text="ab c",
    )
    return firing(row, np.array([position]), np.array([2.0], dtype=np.float32), **names)


def test_a_token_that_stands_for_no_character_has_its_name():
    def name(token: int) -> str:
        return f"<|{token}|>"

    assert firing_at(2, token_name=name).special == "<|99|>"
    assert firing_at(2, token_name=None).special is None
    written = firing_at(1, token_name=name)
    assert (written.token, written.special) == (" c", None)
