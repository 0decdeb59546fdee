"""Evidence from which no figure could be computed is refused, and the reason says which part."""

from __future__ import annotations

import math

import pytest

from pm_audit.errors import NumericalError, RecordError
from pm_audit.judging import judge, require_sound
from pm_audit.judging.soundness import STAGES


@pytest.fixture
def evidence(make_evidence, full, gaps):
    return full(make_evidence(gaps))


def first(evidence, part: str, **update):
    """Return evidence whose first item of one part has other fields."""
    one, *others = getattr(evidence, part)
    return evidence.model_copy(update={part: (one.model_copy(update=update), *others)})


@pytest.mark.parametrize("field", ["reward", "ablated"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -1e39])
def test_a_reward_that_is_not_finite_is_an_error_and_no_verdict(
    evidence, make_hypothesis, method, field, number
):
    with pytest.raises(NumericalError, match=field):
        judge(make_hypothesis(), first(evidence, "rows", **{field: number}), (), method=method)


@pytest.mark.parametrize(
    "update", [{"sigma": math.nan}, {"sigma": 0.0}, {"noise": math.nan}, {"noise": -1.0}]
)
def test_a_broken_scale_is_an_error(evidence, update):
    with pytest.raises(NumericalError):
        require_sound(evidence.model_copy(update=update))


@pytest.mark.parametrize(
    ("part", "field", "words"),
    [
        ("null", "gap", "a matched random set"),
        *(("stages", stage, f"the stage '{stage}' of all SAEs") for stage in STAGES),
        ("alongside", "rewards", "zero replacement"),
        ("transfer", "gap", "the transfer to example 1"),
        ("transfer", "gap_after", "the transfer to example 1"),
    ],
)
def test_every_series_is_whole_and_finite(evidence, part, field, words):
    require_sound(evidence)
    series = getattr(getattr(evidence, part)[0], field)
    with pytest.raises(RecordError, match=rf"{words} has \d+ (row|prompt)s for \d+ "):
        require_sound(first(evidence, part, **{field: series[:-1]}))
    for number in (math.nan, math.inf, 1e39):
        with pytest.raises(NumericalError, match=f"{words} holds a number that is not finite"):
            require_sound(first(evidence, part, **{field: (number, *series[1:])}))


def test_rows_are_of_prompts_that_exist_and_each_prompt_has_both_sides(evidence):
    with pytest.raises(RecordError, match="a row names prompt 16 of 16"):
        require_sound(first(evidence, "rows", prompt=16))
    rows = tuple(row for row in evidence.rows if (row.prompt, row.role) != (3, "example"))
    with pytest.raises(RecordError, match="prompt 3 has no example row"):
        require_sound(evidence.model_copy(update={"rows": rows}))
    with pytest.raises(RecordError, match="holds no prompt"):
        require_sound(evidence.model_copy(update={"prompts": ()}))


def test_selection_and_test_share_no_prompt(evidence):
    for held_out in (tuple(range(16)), (0, 2), (0, 2, 4, 6, 8, 10, 12, 99)):
        with pytest.raises(RecordError, match="held out by exactly one fold"):
            require_sound(first(evidence, "folds", held_out=held_out))


def test_a_set_holds_a_feature_once(evidence):
    (feature,) = evidence.folds[0].selected
    twice = (feature, feature)
    for torn in (
        first(evidence, "folds", selected=twice),
        first(evidence, "transfer", selected=twice),
        evidence.model_copy(update={"halves": (twice, ())}),
    ):
        with pytest.raises(RecordError, match="holds a feature twice"):
            require_sound(torn)
    with pytest.raises(RecordError, match="there are 1 halves"):
        require_sound(evidence.model_copy(update={"halves": ((feature,),)}))
    with pytest.raises(RecordError, match="differ in number"):
        require_sound(first(evidence, "folds", collateral=()))


def test_stages_are_of_all_saes_then_of_each_once(evidence):
    (together,) = evidence.stages
    low = together.model_copy(update={"sae": "low", "layer": 1})
    require_sound(evidence.model_copy(update={"stages": (together, low)}))
    for stages in ((low,), (low, together), (together, together), (together, low, low)):
        with pytest.raises(RecordError, match="of all SAEs together, then of each once"):
            require_sound(evidence.model_copy(update={"stages": stages}))


def test_a_replacement_is_reported_once(evidence):
    with pytest.raises(RecordError, match="reported twice alongside"):
        require_sound(evidence.model_copy(update={"alongside": evidence.alongside[:1] * 2}))


def test_a_phrasing_is_tested_once_where_it_exists_and_on_its_own_gap(evidence):
    one, other = evidence.transfer
    missing = "there is no such row, or it is tested twice"
    for torn, words in (
        (first(evidence, "transfer", phrasing=2), f"example 3, prompt 0: {missing}"),
        (first(evidence, "transfer", prompts=(*one.prompts[:-1], 16)), f"prompt 16: {missing}"),
        (first(evidence, "transfer", prompts=(*one.prompts[:-1], 0)), f"prompt 0: {missing}"),
        (evidence.model_copy(update={"transfer": (one, one)}), f"example 1, prompt 0: {missing}"),
        (
            first(evidence, "transfer", gap=(one.gap[0] + 0.01, *one.gap[1:])),
            r"example 1, prompt 0: the gap is 1\.51.*, but the rewards give 1\.5",
        ),
        (first(evidence, "transfer", gap=other.gap), "but the rewards give"),
    ):
        with pytest.raises(RecordError, match=words):
            require_sound(torn)
    rounded = tuple(gap + 1e-7 for gap in one.gap)
    require_sound(first(evidence, "transfer", gap=rounded))
