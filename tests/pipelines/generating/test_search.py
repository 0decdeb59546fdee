"""Which of several failures is shrunk."""

from __future__ import annotations

from collections.abc import Iterable

from pm_audit.pipelines.generating.search import draw, shrink
from pm_audit.strategies import Insert, Program, programs, suffixes

COUNT, SEED = 60, 3


class Worth:
    """Breaks the claim by what its phrases are worth together, less one."""

    def __init__(self, **worth: float) -> None:
        self._worth = worth

    def measure(self, programs: Iterable[Program]) -> None:
        """Need no forward."""

    def excess(self, program: Program) -> float:
        """Return the sum over the program's phrases."""
        texts = [edit.text for edit in program.edits if isinstance(edit, Insert)]
        return sum(self._worth.get(text, 0.0) for text in texts) - 1.0


def test_one_edit_comes_before_two_that_move_the_reward_more() -> None:
    drawn = programs(suffixes(["alone", "half", "other"]), at_most=2)
    claim = Worth(alone=1.2, half=0.9, other=0.9)
    tried = draw(drawn, COUNT, seed=SEED)
    assert any(claim.excess(program) > 0.5 for program in tried)
    found = shrink(drawn, claim, tried, COUNT, seed=SEED).program
    assert found == Program(edits=(Insert(text="alone", after=None),))


def test_of_failures_with_as_many_edits_the_largest_is_shrunk() -> None:
    drawn = programs(suffixes(["a", "bb", "ccc"]), at_most=1)
    tried = draw(drawn, COUNT, seed=SEED)
    found = shrink(drawn, Worth(a=1.1, bb=3.0), tried, COUNT, seed=SEED).program
    assert found == Program(edits=(Insert(text="bb", after=None),))
