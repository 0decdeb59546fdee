"""Hypotheses that nothing makes true, and a gap that the SAE does not see."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from pm_audit.records import Outcome, Role
from pm_audit.spec import expand
from recipes.calibrate import chance
from recipes.calibrate.chance import (
    CONTROL,
    LUCKY,
    PLACEBO,
    PROMPTS,
    UNSEEN,
    audit_chance,
    chosen_for_gap,
    exchanged,
)
from recipes.planted.hypothesis import always, drawn_hypothesis

torch.set_num_threads(1)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def texts(hypothesis, *roles: Role) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for case in expand(hypothesis):
        if case.role in roles:
            found.setdefault(case.prompt, []).append(case.text)
    return found


def test_exchanging_deals_the_same_texts_to_other_sides() -> None:
    drawn = drawn_hypothesis(
        generator(), closing=always("!"), counter_closing=always(";"), prompts=30, phrasings=2
    )
    dealt = exchanged(drawn, generator())
    both = (Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    before, after = texts(drawn, *both), texts(dealt, *both)
    assert {at: Counter(own) for at, own in before.items()} == {
        at: Counter(own) for at, own in after.items()
    }
    marked = [
        sum(text.endswith("!") for text in own) for own in texts(dealt, Role.EXAMPLE).values()
    ]
    # two of four texts are drawn: none, one or both are marked in 1, 4 and 1 of 6 cases
    assert set(marked) == {0, 1, 2}
    assert np.mean(marked) == pytest.approx(1, abs=0.35)
    assert [prompt.wordings for prompt in dealt.prompts] == [
        prompt.wordings for prompt in drawn.prompts
    ]


def test_prompts_chosen_for_a_gap_have_one() -> None:
    pool = drawn_hypothesis(
        generator(), closing=always(";"), counter_closing=always(";"), prompts=100
    )
    gaps = generator().normal(size=100)
    chosen = chosen_for_gap(pool, gaps, generator())
    own = gaps[[pool.prompts.index(prompt) for prompt in chosen.prompts]]
    assert len({prompt.id for prompt in chosen.prompts}) == PROMPTS
    # Student's t with 11 degrees of freedom
    assert abs(own.mean()) > 2.2 * own.std(ddof=1) / PROMPTS**0.5


def test_every_kind_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "AUDITS", 2)
    audits = audit_chance(seed=0)
    kinds = (PLACEBO, PLACEBO + LUCKY, CONTROL, CONTROL + LUCKY, UNSEEN)
    assert Counter(one.kind for one in audits) == dict.fromkeys(kinds, 2)
    assert all(one.found for one in audits if one.kind == UNSEEN)
    assert all(one.explained is not Outcome.PASS for one in audits if one.kind == UNSEEN)
    assert all(
        (one.closure is None) == (not one.found) == (one.explained is Outcome.INVALID)
        for one in audits
    )
