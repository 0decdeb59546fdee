"""Folds: whatever is tested took no part in the search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.forward.contrast import Contrast
from pm_audit.records import Role
from pm_audit.search.folds import Fold, by_phrasing, halves, split

GAPS = st.lists(st.floats(-5, 5), min_size=2, max_size=40)


@given(GAPS, st.integers(2, 8), st.integers(0, 100))
def test_every_prompt_is_held_out_once(gaps, folds, seed):
    made = split(gaps, folds, seed=seed)
    held_out = sorted(prompt for fold in made for prompt in fold.held_out)
    assert held_out == list(range(len(gaps)))
    assert len(made) == min(folds, len(gaps))
    for fold in made:
        assert not set(fold.discovery) & set(fold.held_out)
        assert sorted((*fold.discovery, *fold.held_out)) == list(range(len(gaps)))
    sizes = [len(fold.held_out) for fold in made]
    assert max(sizes) - min(sizes) <= 1


@given(st.permutations(range(12)), st.integers(2, 5), st.integers(0, 100))
def test_prompts_of_like_gaps_are_dealt_apart(order, folds, seed):
    fold_of = {
        prompt: number
        for number, fold in enumerate(split([float(gap) for gap in order], folds, seed=seed))
        for prompt in fold.held_out
    }
    ranked = sorted(range(12), key=lambda prompt: order[prompt])
    for start in range(0, 12, folds):
        block = [fold_of[prompt] for prompt in ranked[start : start + folds]]
        assert len(set(block)) == len(block)


def test_the_seed_decides_who_is_dealt_where():
    gaps = np.random.default_rng(0).normal(size=20).tolist()
    assert split(gaps, 2, seed=1) == split(gaps, 2, seed=1) != split(gaps, 2, seed=2)


def test_a_single_prompt_is_its_own_discovery():
    assert split([1.0], 2, seed=0) == (Fold((0,), (0,)),)


def contrast_of(*templates: tuple[int, Role, int]) -> Contrast:
    prompt, role, variant = zip(*templates, strict=True)
    return Contrast(np.array(prompt), list(role), np.array(variant))


def whole(prompts: int, phrasings: int) -> Contrast:
    """Return prompts with every phrasing, two counter-examples and a control each."""
    own = [(Role.EXAMPLE, number) for number in range(phrasings)]
    own += [(Role.COUNTER_EXAMPLE, 0), (Role.COUNTER_EXAMPLE, 1), (Role.CONTROL, 0)]
    return contrast_of(*((prompt, *one) for prompt in range(prompts) for one in own))


@pytest.mark.parametrize(("prompts", "phrasings", "folds"), [(6, 2, 2), (7, 5, 2), (9, 3, 4)])
def test_a_phrasing_is_tested_by_a_search_that_saw_neither_it_nor_the_prompts(
    prompts, phrasings, folds
):
    contrast = whole(prompts, phrasings)
    dealt = split(np.arange(float(prompts)).tolist(), folds, seed=0)
    made = by_phrasing(contrast, dealt)
    assert [fold.without for fold in made] == list(range(phrasings))
    for turn, fold in enumerate(made):
        assert fold.held_out == dealt[turn % folds].held_out
        sees, examples = fold.sees(contrast), contrast.has_role(Role.EXAMPLE)
        assert set(contrast.prompt[sees]) == set(fold.discovery)
        assert not set(fold.discovery) & set(fold.held_out)
        assert set(contrast.variant[sees & examples]) == set(range(phrasings)) - {turn}
        # every other completion of these prompts is seen
        others = contrast.of_prompts(fold.discovery) & ~examples
        np.testing.assert_array_equal(sees & ~examples, others)
        np.testing.assert_array_equal(
            fold.left_out(contrast), examples & (contrast.variant == turn)
        )


def test_a_fold_of_prompts_sees_every_phrasing():
    contrast, fold = whole(4, 3), Fold((0, 1), (2, 3))
    np.testing.assert_array_equal(fold.sees(contrast), contrast.of_prompts([0, 1]))
    assert not fold.left_out(contrast).any()


@pytest.mark.parametrize("contrast", [whole(6, 1), Contrast(np.arange(4) // 2, [*Role][:2] * 2)])
def test_one_phrasing_cannot_be_left_out(contrast):
    assert by_phrasing(contrast, split([0.0] * contrast.prompts, 2, seed=0)) == ()


def test_prompts_without_the_phrasing_are_no_test_and_those_without_another_no_discovery():
    contrast = contrast_of(
        *((prompt, Role.EXAMPLE, 0) for prompt in (0, 1, 2, 3)),
        *((prompt, Role.EXAMPLE, 1) for prompt in (2, 3, 4, 5)),
        *((prompt, Role.COUNTER_EXAMPLE, 0) for prompt in range(6)),
    )
    dealt = (Fold((0, 2, 4), (1, 3, 5)), Fold((1, 3, 5), (0, 2, 4)))
    first, second = by_phrasing(contrast, dealt)
    assert first == Fold((2, 4), (1, 3), 0)
    assert second == Fold((1, 3), (2, 4), 1)


def test_a_phrasing_of_prompts_that_are_never_held_out_together_is_not_tested():
    contrast = contrast_of(
        (0, Role.EXAMPLE, 0),
        (1, Role.EXAMPLE, 1),
        *((prompt, Role.COUNTER_EXAMPLE, 0) for prompt in range(2)),
    )
    # the phrasing without which to search is held by the discovery's only prompt
    assert by_phrasing(contrast, (Fold((0,), (1,)), Fold((1,), (0,)))) == ()


def test_halves_are_searched_unless_the_folds_are_halves():
    gaps = np.arange(9.0).tolist()
    assert halves(gaps, split(gaps, 2, seed=0), seed=0) == ()
    one, other = halves(gaps, split(gaps, 5, seed=0), seed=0)
    assert sorted((*one.discovery, *other.discovery)) == list(range(9))
