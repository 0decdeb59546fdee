"""Drafts from wordings, on a planted PM whose reward is linear in marks of known weight."""

import numpy as np
import pytest

from pm_audit.drafts.reading import Reader
from pm_audit.drafts.slots import Slots
from pm_audit.drafts.worded import WordingDrafter
from recipes.planted.linear import SCALE, STRENGTH
from tests.drafts.conftest import planted_texts

BANG, STAR, TILDE = [0], [1], [2]
WEIGHTS = {"!": 1.0, "~": 0.6}


@pytest.fixture(scope="module")
def drafter_of(planted):
    reader = Reader(planted.pm, planted.sae, [planted.latent_of[mark] for mark in "!*~"])
    known = reader.read(planted_texts(120))
    fresh = reader.read(planted_texts(60, prompts=12, seed=1))
    slots = Slots([one.pieces for one in known])

    def made(groups, signs):
        return WordingDrafter(known, fresh, slots, reader, groups, signs)

    return made


def test_each_mark_is_a_wording_that_its_own_group_carries(drafter_of):
    drafter = drafter_of([TILDE, BANG, STAR], [1.0, 1.0, -1.0])
    found = {
        one.wording.filling: (group, one.side, one.share)
        for group, own in drafter.carried.items()
        for one in own
    }
    assert found["~"] == (0, 1, pytest.approx(1.0, abs=0.02))
    assert found["!"] == (1, 1, pytest.approx(1.0, abs=0.02))


def test_a_group_whose_wording_moves_the_reward_the_other_way_has_none(drafter_of):
    assert drafter_of([BANG], [-1.0]).carried == {}


def test_a_group_that_does_not_carry_a_gap_has_no_draft_of_it(drafter_of):
    fillings = [one.wording.filling for one in drafter_of([TILDE], [1.0]).carried[0]]
    assert "~" in fillings
    assert "!" not in fillings


@pytest.mark.parametrize(("features", "mark"), [(BANG, "!"), (TILDE, "~")])
def test_pairs_differ_in_the_mark_and_their_gap_is_its_weight(drafter_of, planted, features, mark):
    drafter = drafter_of([features], [WEIGHTS[mark]])
    found = next(one for one in drafter.drafts(0, prompts=12) if one.rule.filling == mark)
    assert len(found.pairs) == 12
    for pair in found.pairs:
        assert pair.shown[0] == mark
        assert mark in pair.example.text.completion
        assert mark not in pair.counter_example.text.completion
        text = pair.example.text
        tokens = len(planted.pm.text_format.tokenise(text.turns, text.completion).token_ids)
        expected = SCALE * WEIGHTS[mark] * STRENGTH / tokens
        assert pair.gap == pytest.approx(expected, abs=6e-3)


def test_pairs_are_of_prompts_that_took_no_part_one_each(drafter_of):
    drafter = drafter_of([BANG], [1.0])
    found = next(drafter.drafts(0, prompts=12))
    fresh = {one.text for one in drafter.fresh}
    own = [pair.counter_example if pair.inserted else pair.example for pair in found.pairs]
    assert all(one.text in fresh for one in own)
    assert len({one.text.turns for one in own}) == len(own)


def test_a_control_leaves_the_group_as_it_is_in_the_counter_example(drafter_of):
    found = next(drafter_of([BANG], [1.0]).drafts(0, prompts=12))
    controls = [pair.control for pair in found.pairs if pair.control is not None]
    assert controls
    assert all(one.total(BANG) == 0 for one in controls)


def test_with_a_group_at_the_other_sides_values_its_gap_is_gone(reader):
    texts = planted_texts(120)
    readings = reader.read(texts)
    pairs = [
        (one.text, type(one.text)(one.text.turns, one.text.completion.replace("!", ";")))
        for one in readings
        if "!" in one.text.completion
    ][:6]
    np.testing.assert_allclose(reader.closed(pairs, [BANG, STAR]), [1.0, 0.0], atol=0.02)
