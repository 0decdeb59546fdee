"""Folds: every prompt is held out once, by a search that did not see it."""

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.search.folds import split


@given(st.integers(2, 60), st.integers(2, 8), st.integers(0, 100))
def test_every_prompt_is_held_out_once(prompts, folds, seed):
    made = split(prompts, folds, seed=seed)
    held_out = sorted(prompt for fold in made for prompt in fold.held_out)
    assert held_out == list(range(prompts))
    for fold in made:
        assert not set(fold.discovery) & set(fold.held_out)
        assert sorted((*fold.discovery, *fold.held_out)) == list(range(prompts))
    sizes = [len(fold.held_out) for fold in made]
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides():
    assert split(20, 2, seed=1) == split(20, 2, seed=1) != split(20, 2, seed=2)
