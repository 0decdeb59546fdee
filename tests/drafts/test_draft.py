import numpy as np
import pytest

from pm_audit.drafts.draft import Drafter
from pm_audit.drafts.edits import Action, Edit, Editor, Extent, Rule, common
from pm_audit.drafts.reading import Reading
from pm_audit.drafts.slots import Neighbours, Pieces, Slots
from recipes.planted.linear import SCALE, STRENGTH
from tests.drafts.conftest import planted_texts

BANG, STAR, TILDE = [0], [1], [2]


@pytest.fixture
def drafter(reader):
    known, fresh = planted_texts(120), planted_texts(60, prompts=12, seed=1)
    readings = reader.read(known)
    return Drafter(
        readings, reader.read(fresh), Slots([one.pieces for one in readings]), reader.read
    )


@pytest.mark.parametrize(
    ("features", "mark", "sign", "weight"),
    [(BANG, "!", 1, 1.0), (STAR, "*", -1, -0.8), (TILDE, "~", 1, 0.6)],
)
def test_the_planted_mark_is_the_span_and_its_weight_the_gap(
    drafter, planted, features, mark, sign, weight
):
    found = drafter.draft(features, sign=sign, prompts=12)
    assert not isinstance(found, str)
    assert found.rule.action is Action.SWAP
    assert len(found.pairs) == 12
    for pair in found.pairs:
        removed, written = pair.edit.shown
        assert (removed, written) == (mark, ";") or (pair.inserted and mark in (removed, written))
        assert mark in pair.example.text.completion
        assert mark not in pair.counter_example.text.completion
        tokens = len(planted.pm.text_format.tokenise(*_text(pair.example)).token_ids)
        assert pair.gap == pytest.approx(SCALE * weight * STRENGTH / tokens, abs=2e-3)


def _text(reading):
    return reading.text.turns, reading.text.completion


def test_no_pair_of_a_draft_is_of_a_prompt_by_which_its_rule_was_chosen(drafter):
    found = drafter.draft(BANG, sign=1, prompts=12)
    fresh = {one.text.completion for one in drafter.fresh}
    own = [pair.counter_example if pair.inserted else pair.example for pair in found.pairs]
    assert all(one.text.completion in fresh for one in own)
    assert len({one.text.turns for one in own}) == len(own)


def test_a_control_changes_something_else_and_leaves_the_group_inactive(drafter):
    found = drafter.draft(BANG, sign=1, prompts=12)
    controls = [pair.control for pair in found.pairs if pair.control is not None]
    assert controls
    assert all(one.strongest(BANG) == 0 for one in controls)
    assert all(
        pair.control.text not in (pair.example.text, pair.counter_example.text)
        for pair in found.pairs
        if pair.control is not None
    )


def test_a_group_whose_edit_moves_the_reward_the_other_way_has_no_draft(drafter):
    assert "no small edit" in drafter.draft(BANG, sign=-1, prompts=12)


def test_a_group_that_is_active_nowhere_has_no_draft(planted, reader):
    reader.latents = [planted.latent_of["&"]]
    readings = reader.read(planted_texts(20))
    drafter = Drafter(readings, readings, Slots([one.pieces for one in readings]), reader.read)
    assert "active on no word" in drafter.draft([0], sign=1, prompts=6)


def reading(text, strong):
    pieces = Pieces(text)
    active = np.zeros((1, len(pieces)))
    active[0, strong] = 1.0
    return Reading(None, pieces, 0.0, active) if text is None else _reading(text, pieces, active)


def _reading(text, pieces, active):
    from pm_audit.drafts.reading import Text

    return Reading(Text((), text), pieces, 0.0, active)


OTHERS = [" It is very useful.", " It is very good.", " It is very useful too."]


@pytest.mark.parametrize(
    ("rule", "text", "strong", "edited"),
    [
        (Rule(Extent.PIECE, Action.SWAP), " It is VERY useful.", [2], " It is very useful."),
        (Rule(Extent.PIECE, Action.LOWER), " It is VERY useful.", [2], " It is very useful."),
        (Rule(Extent.PIECE, Action.DELETE), " It is VERY useful.", [2], " It is useful."),
        (Rule(Extent.PIECE, Action.DELETE), " Go home!", [2], " Go home"),
        (Rule(Extent.RUN, Action.DELETE), " It is VERY MUCH so.", [2, 3], " It is so."),
        (Rule(Extent.CLOSED, Action.DELETE), " Do it (as a rule). Now.", [2], " Do it. Now."),
        (Rule(Extent.CLOSED, Action.DELETE), ' Say "the way" here.', [1], " Say here."),
        (Rule(Extent.SENTENCE, Action.DELETE), " Do it. Stay well.", [3], " Do it."),
    ],
)
def test_an_edit_takes_its_span(rule, text, strong, edited):
    known = [reading(other, []) for other in OTHERS]
    editor = Editor(Slots([one.pieces for one in known]), known, [0], 0.2, 0)
    assert editor.edit(reading(text, strong), rule).text == edited


def test_an_edit_backwards_puts_the_span_into_a_text_that_lacks_it():
    known = [reading(other, []) for other in OTHERS]
    editor = Editor(Slots([one.pieces for one in known]), known, [0], 0.2, 0)
    edit = editor.edit(reading(" It is VERY useful.", [2]), Rule(Extent.PIECE, Action.SWAP))
    inserted = editor.insert(reading(" Today it is very useful.", []), [edit])
    assert inserted.text == " Today it is VERY useful."


def test_common_edits_come_first_and_once():
    edits = [Edit(Neighbours("a", "b"), one, "", 0, "") for one in "xyyx"]
    edits.append(Edit(Neighbours("a", "b"), "x", "", 0, ""))
    assert [one.removed for one in common(edits)] == ["x", "y"]
