import numpy as np
import pytest

from pm_audit.drafts.edits import Edit
from pm_audit.drafts.pairs import DraftPair, certainty
from pm_audit.drafts.reading import Reading, Text
from pm_audit.drafts.slots import Neighbours, Pieces


def reading(text, reward):
    return Reading(Text((), text), Pieces(text), reward, np.zeros((1, len(Pieces(text)))))


@pytest.mark.parametrize(
    ("removed", "written", "inserted"), [(" VERY ", " very ", False), (" very ", " VERY ", True)]
)
def test_what_is_shown_is_of_the_example_first_either_way_round(removed, written, inserted):
    edit = Edit(Neighbours("is", "useful"), removed, written, 8, "")
    example, other = reading(" This is VERY useful.", -1.0), reading(" This is very useful.", 0.5)
    pair = DraftPair(example, other, None, edit, inserted)
    assert pair.shown == ("VERY", "very")
    assert pair.gap == -1.5


def test_certainty_is_the_mean_over_its_standard_error():
    assert certainty([1.0, 2.0, 3.0]) == pytest.approx(2.0 / (1.0 / np.sqrt(3)))
    assert certainty([-1.0, -1.0, -1.0]) < -1e6
