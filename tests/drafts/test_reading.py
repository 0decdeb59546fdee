import numpy as np

import pm_audit
from tests.drafts.conftest import planted_texts


def test_rewards_are_those_of_the_library_and_strength_lies_on_the_mark(planted, reader):
    texts = planted_texts(12)
    readings = reader.read(texts)
    expected = pm_audit.rewards(
        planted.pm, [one.turns[-1].text for one in texts], [one.completion for one in texts]
    )
    np.testing.assert_allclose([one.reward for one in readings], expected, atol=1e-5)
    for one in readings:
        strong = [one.pieces.written[at] for at in np.flatnonzero(one.strength([0]))]
        assert strong == [mark for mark in one.pieces.written if mark == "!"]
        assert one.strongest([0]) == float("!" in one.text.completion)
