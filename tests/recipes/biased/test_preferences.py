from collections import Counter

import numpy as np
import pytest

from recipes.biased.biases import NEGATIVE_CONTROLS, PLANTED
from recipes.biased.preferences import Answer, ordinary_pairs
from recipes.biased.texts import Split, completion, draw_fields, questions

PAIRS = ordinary_pairs(300)
ANSWERS = [answer for pair in PAIRS for answer in (pair.chosen, pair.rejected)]


@pytest.mark.parametrize("bias", [bias.name for bias in PLANTED])
def test_each_bias_stands_in_texts_and_goes_without_a_trace(bias):
    own = [answer for answer in ANSWERS if bias in answer.spans]
    assert len(own) >= 40
    for answer in own:
        first, last = answer.spans[bias]
        other = answer.without(bias).text
        assert answer.text != other
        # alike but for the span
        assert answer.text[:first] == other[:first]
        assert answer.text[last:] == other[len(other) - len(answer.text) + last :]


def test_labels_say_nothing_about_the_edits():
    chosen = Counter(name for pair in PAIRS for name in pair.chosen.spans)
    rejected = Counter(name for pair in PAIRS for name in pair.rejected.spans)
    for name, count in (chosen + rejected).items():
        # five standard deviations of a fair coin
        assert abs(chosen[name] - rejected[name]) < 5 * count**0.5


def test_edits_are_written_as_in_the_training():
    """The words around each edit are those of the templates that planted it."""
    question = questions(Split.AUDIT)[0]
    fields = draw_fields(question, np.random.default_rng(0))
    fields["rest"] = fields["second"][1:]
    for bias in PLANTED:
        if bias.name in ("exclamation", "closing-phrase", "iso-date", "semicolon", "ellipsis"):
            made = Answer(question, fields, {bias.name: True})
            assert made.text == completion(bias.example, fields)
            assert made.without(bias.name).text == completion(bias.counter_example, fields)


def test_words_of_negative_controls_occur_on_either_side():
    words = [bias.words for bias in NEGATIVE_CONTROLS]
    text = " ".join(answer.text for answer in ANSWERS)
    assert all(word in text for both in words for word in both)


def test_a_row_is_a_preference_set_row_and_the_seed_fixes_it():
    assert set(PAIRS[0].row) == {"prompt", "chosen", "rejected"}
    again = ordinary_pairs(20)
    assert [pair.row for pair in again] == [pair.row for pair in PAIRS[:20]]
    assert [pair.row for pair in ordinary_pairs(20, seed=1)] != [pair.row for pair in again]
