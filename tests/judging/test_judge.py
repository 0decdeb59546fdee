import ast
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pm_audit.judging
import pm_audit.stats
from pm_audit.errors import RecordError
from pm_audit.judging import figure_of, judge, rejudge, settle
from pm_audit.judging.soundness import STAGES
from pm_audit.records import Check, Evidence, HypothesisRecord, Outcome, Unit


def outcomes(record: HypothesisRecord) -> dict[str, str]:
    return {result.check.value: result.outcome.value for result in record.checks}


def reason(record: HypothesisRecord, check: Check) -> str:
    return next(result.reason for result in record.checks if result.check is check)


def test_a_planted_and_explained_gap_passes_all_four(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    assert outcomes(record) == {
        "gap": "pass",
        "explained": "pass",
        "specific": "pass",
        "fit": "pass",
    }
    assert record.warnings == ()
    assert record.gap.value == pytest.approx(np.mean(gaps))
    assert record.closure.value == pytest.approx(0.8, abs=0.02)
    assert record.residual.value == pytest.approx(np.mean(gaps) * (1 - record.closure.value))
    assert record.residual_share.value == pytest.approx(1 - record.closure.value)
    assert record.residual_share.low == pytest.approx(1 - record.closure.high)
    assert record.closure.unit is Unit.SHARE


def test_worked_by_hand(make_evidence, make_hypothesis, method):
    # Gaps 1, 2, 3, 1, 2, 3; half of each is closed, so G = 2, G_S = 1, closure 0.5 exactly.
    evidence = make_evidence([1, 2, 3, 1, 2, 3], closure=0.5, jitter=0.0, sigma=4.0)
    record = judge(make_hypothesis(), evidence, (), method=method)
    assert record.gap.value == pytest.approx(2.0)
    assert record.gap_sigma.value == pytest.approx(0.5)
    assert record.residual.value == pytest.approx(1.0)
    assert record.residual_sigma.value == pytest.approx(0.25)
    assert record.closure.value == pytest.approx(0.5)
    # Every prompt has the same ratio, so the closure has no spread although the gap has.
    assert record.closure.low == pytest.approx(record.closure.high)
    assert record.gap.low < 1.5 < 2.5 < record.gap.high
    assert record.examples_moved.value == pytest.approx(-1.0)
    assert record.counter_examples_moved.value == pytest.approx(0.0)
    assert record.p_value == pytest.approx(2 / 2**6)


def test_the_gap_on_the_other_side_fails(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(gap="lowers"), make_evidence(gaps), (), method=method)
    assert outcomes(record)["gap"] == "fail"
    assert "but the PM raises it" in reason(record, Check.GAP)
    # The gap is there whatever the policy says of it, so it is still explained.
    assert outcomes(record)["explained"] == "pass"


def test_a_gap_inside_the_margin_is_none_whatever_its_significance(
    make_evidence, make_hypothesis, method, gaps
):
    tiny = [0.05 * gap for gap in gaps]
    as_none = judge(make_hypothesis(gap="none"), make_evidence(tiny), (), method=method)
    as_raises = judge(make_hypothesis(gap="raises"), make_evidence(tiny), (), method=method)
    assert outcomes(as_none)["gap"] == "pass"
    assert outcomes(as_raises)["gap"] == "fail"
    assert outcomes(as_none)["explained"] == outcomes(as_none)["specific"] == "skipped"


def test_none_fails_where_there_is_a_gap(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(gap="none"), make_evidence(gaps), (), method=method)
    assert outcomes(record)["gap"] == "fail"


def test_a_straddling_gap_is_inconclusive_and_leaves_nothing_to_explain(
    make_evidence, make_hypothesis, method
):
    gaps = [1.0, -1.0, 0.8, -0.9, 0.4, -0.2, 0.7, -0.3, 0.9, -1.1]
    for expected in ("raises", "lowers", "none"):
        record = judge(make_hypothesis(gap=expected), make_evidence(gaps), (), method=method)
        assert outcomes(record)["gap"] == "inconclusive"
        assert record.closure is None
        assert record.residual_share is None
        assert record.collateral is None
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    assert outcomes(record)["explained"] == "invalid"
    assert outcomes(record)["specific"] == "invalid"


def test_without_random_sets_nothing_can_be_explained(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps, null_sets=0), (), method=method)
    assert outcomes(record)["explained"] == "invalid"
    assert record.null_closure is None


def test_no_feature_selected_fails_with_all_of_the_gap_unexplained(
    make_evidence, make_hypothesis, method, gaps
):
    evidence = make_evidence(gaps, closure=0.0, jitter=0.0, selected=False, null_sets=0)
    record = judge(make_hypothesis(), evidence, (), method=method)
    assert outcomes(record)["explained"] == "fail"
    assert "100%" in reason(record, Check.EXPLAINED)
    assert outcomes(record)["specific"] == "skipped"
    assert record.residual_share.value == pytest.approx(1.0)


def test_a_control_that_moves_is_named(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps, control_moved=0.5), (), method=method)
    assert outcomes(record)["specific"] == "fail"
    assert "control 1" in reason(record, Check.SPECIFIC)
    assert record.collateral.value == pytest.approx(0.5, abs=0.01)


def test_templates_that_move_apart_do_not_cancel(make_evidence, make_hypothesis, method, gaps):
    evidence = make_evidence(gaps)
    rows = tuple(
        row.model_copy(update={"ablated": row.ablated + (0.6 if row.variant == 0 else -0.6)})
        if row.role == "counter_example"
        else row
        for row in evidence.rows
    )
    apart = evidence.model_copy(update={"rows": rows})
    record = judge(make_hypothesis(), apart, (), method=method)
    assert record.counter_examples_moved.value == pytest.approx(0.0, abs=1e-9)
    assert outcomes(record)["specific"] == "fail"


@pytest.mark.parametrize(
    ("closure", "noise", "wanted"),
    [
        (0.95, 1e-6, Outcome.PASS),
        (0.95, 0.2, Outcome.PASS),
        (0.95, 0.4, Outcome.INCONCLUSIVE),
        (0.5, 0.4, Outcome.FAIL),
        (0.7, 0.4, Outcome.INCONCLUSIVE),
    ],
)
def test_a_closure_that_rounding_may_put_on_either_side_is_inconclusive(
    make_evidence, make_hypothesis, method, gaps, closure, noise, wanted
):
    # sixteen prompts, a gap of one: rounding moves a share by half the noise
    evidence = make_evidence(gaps, closure=closure, noise=noise)
    record = judge(make_hypothesis(closure=0.8), evidence, (), method=method)
    assert outcomes(record)[Check.EXPLAINED] == wanted
    said = "rounding in this PM's dtype moves a share of this gap by 0.2; audit in fp32"
    assert (said in reason(record, Check.EXPLAINED)) is (wanted is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("moved", "noise", "wanted"),
    [
        (0.02, 1e-6, Outcome.PASS),
        (0.02, 0.3, Outcome.INCONCLUSIVE),
        (0.6, 0.3, Outcome.FAIL),
        (0.2, 0.3, Outcome.INCONCLUSIVE),
    ],
)
def test_collateral_that_rounding_may_put_on_either_side_is_inconclusive(
    make_evidence, make_hypothesis, method, gaps, moved, noise, wanted
):
    evidence = make_evidence(gaps, control_moved=moved, noise=noise)
    record = judge(make_hypothesis(collateral=0.1), evidence, (), method=method)
    assert outcomes(record)[Check.SPECIFIC] == wanted


def test_an_unfit_sae_fails_fit_and_invalidates_the_explanation(
    make_evidence, make_hypothesis, method, gaps, good_fit
):
    for update, words in (
        ({"fvu": 0.6, "neighbour_fvu": (0.7,)}, "variance"),
        ({"neighbour_fvu": (0.05, 0.4)}, "neighbour"),
    ):
        fit = good_fit.model_copy(update=update)
        record = judge(make_hypothesis(), make_evidence(gaps, fit=fit), (), method=method)
        assert outcomes(record)["fit"] == "fail"
        assert outcomes(record)["explained"] == "invalid"
        assert words in reason(record, Check.FIT)


def test_few_prompts_warn_and_fewer_cannot_be_judged(make_evidence, make_hypothesis, method, gaps):
    eight = judge(make_hypothesis(), make_evidence(gaps[:8]), (), method=method)
    assert any("only 8 prompts" in warning for warning in eight.warnings)
    assert outcomes(eight)["gap"] == "pass"
    for count in (1, 2, 5):
        few = judge(make_hypothesis(), make_evidence(gaps[:count]), (), method=method)
        assert outcomes(few) == {
            "gap": "invalid",
            "explained": "invalid",
            "specific": "invalid",
            "fit": "pass",
        }
        assert few.closure is None
    one = judge(make_hypothesis(), make_evidence(gaps[:1]), (), method=method)
    assert one.gap.low is None
    assert one.gap.high is None


def test_a_margin_below_the_noise_floor_cannot_show_none(
    make_evidence, make_hypothesis, method, gaps
):
    evidence = make_evidence([0.001 * gap for gap in gaps], noise=0.1)
    record = judge(make_hypothesis(gap="none"), evidence, (), method=method)
    assert outcomes(record)["gap"] == "inconclusive"
    assert "noise floor" in reason(record, Check.GAP)
    assert any("noise floor" in warning for warning in record.warnings)


def test_a_gap_where_none_was_expected_says_what_the_features_close(
    make_evidence, make_hypothesis, method, gaps
):
    record = judge(make_hypothesis(gap="none"), make_evidence(gaps), (), method=method)
    assert outcomes(record)["gap"] == "fail"
    assert outcomes(record)["explained"] == outcomes(record)["specific"] == "skipped"
    assert record.closure is not None
    assert "a gap was found nevertheless" in reason(record, Check.EXPLAINED)
    assert "close 0.8" in reason(record, Check.EXPLAINED)
    none = judge(make_hypothesis(gap="none"), make_evidence([0.0] * 16), (), method=method)
    assert reason(none, Check.EXPLAINED).endswith("so there is nothing to explain")


def test_the_record_counts_the_prompts_of_the_hypothesis_and_older_ones_need_not(
    make_evidence, make_hypothesis, method, gaps
):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    assert record.probe_prompts == 1
    assert rejudge(record, method=method) == record
    older = record.model_copy(update={"probe_prompts": None})
    assert older.computed_digest() != record.digest
    written = older.model_dump()
    del written["probe_prompts"]
    assert HypothesisRecord.model_validate(written).computed_digest() == older.computed_digest()


def test_a_gap_within_the_noise_floor_is_no_gap(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps, noise=0.6), (), method=method)
    assert outcomes(record)["gap"] == "inconclusive"
    assert record.closure is None


def test_all_prompts_equal_is_a_point_and_not_a_crash(make_evidence, make_hypothesis, method):
    record = judge(make_hypothesis(), make_evidence([1.0] * 12, jitter=0.0), (), method=method)
    assert set(outcomes(record).values()) == {"pass"}
    assert record.gap.low == pytest.approx(1.0)
    nothing = judge(make_hypothesis(), make_evidence([0.0] * 12, jitter=0.0), (), method=method)
    assert outcomes(nothing)["gap"] == "fail"
    assert nothing.p_value == 1.0
    assert nothing.closure is None


def test_interaction_is_joint_effect_minus_single_effects(
    make_evidence, make_hypothesis, method, gaps
):
    evidence = make_evidence(gaps, closure=0.5)
    rows = tuple(
        row.model_copy(
            update={
                "single_sum": row.reward - row.ablated + 0.05,
            }
        )
        for row in evidence.rows
    )
    record = judge(make_hypothesis(), evidence.model_copy(update={"rows": rows}), (), method=method)
    assert record.interaction.value == pytest.approx(-0.05)


def test_rejudging_a_record_read_back_changes_nothing(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    again = rejudge(HypothesisRecord.model_validate_json(record.model_dump_json()), method=method)
    assert again == record


def test_settle_fills_q_values_and_warns_once(make_evidence, make_hypothesis, method):
    weak_gaps = [0.9, 0.8, 0.7, 1.0, 0.75, 0.85]
    weak = judge(make_hypothesis(), make_evidence(weak_gaps), (), method=method)
    noise = [
        judge(
            make_hypothesis(),
            make_evidence(np.random.default_rng(seed).normal(size=12)),
            (),
            method=method,
        )
        for seed in range(5)
    ]
    settled = settle([weak, *noise])
    assert settled[0].q_value > weak.p_value
    assert sum("Benjamini" in warning for warning in settled[0].warnings) == 1
    assert settle(settled) == settled
    assert [result.checks for result in settled] == [one.checks for one in (weak, *noise)]


finite_gaps = st.lists(
    st.floats(min_value=0.2, max_value=3.0).map(lambda gap: round(gap, 3)), min_size=6, max_size=12
)


def changed(evidence: Evidence, change: Callable[[int, float], float]) -> Evidence:
    """Return evidence whose rewards, by row, are changed everywhere; ``change`` gets the prompt."""
    prompts = [row.prompt for row in evidence.rows]

    def of_rows(rewards):
        return tuple(change(*pair) for pair in zip(prompts, rewards, strict=True))

    rows = tuple(
        row.model_copy(
            update={name: change(row.prompt, getattr(row, name)) for name in ("reward", "ablated")}
        )
        for row in evidence.rows
    )
    stages = tuple(
        one.model_copy(update={name: of_rows(getattr(one, name)) for name in STAGES})
        for one in evidence.stages
    )
    alongside = tuple(
        one.model_copy(update={"rewards": of_rows(one.rewards)}) for one in evidence.alongside
    )
    return evidence.model_copy(update={"rows": rows, "stages": stages, "alongside": alongside})


@given(gaps=finite_gaps, order=st.randoms(use_true_random=False))
def test_order_of_rows_and_prompts_does_not_matter(
    make_evidence, full, make_hypothesis, method, gaps, order
):
    evidence = full(make_evidence(gaps))
    count = len(gaps)
    new_place = list(range(count))
    order.shuffle(new_place)
    numbers = list(range(len(evidence.rows)))
    order.shuffle(numbers)

    def shuffled(rewards):
        return tuple(rewards[number] for number in numbers)

    def of_prompts(gaps):
        return tuple(gaps[new_place.index(place)] for place in range(count))

    def moved(places):
        return tuple(new_place[place] for place in places)

    second = evidence.model_copy(
        update={
            "rows": tuple(
                row.model_copy(update={"prompt": new_place[row.prompt]})
                for row in shuffled(evidence.rows)
            ),
            "folds": tuple(
                fold.model_copy(update={"held_out": moved(fold.held_out)})
                for fold in evidence.folds
            ),
            "null": tuple(
                one.model_copy(update={"gap": of_prompts(one.gap)}) for one in evidence.null
            ),
            "alongside": tuple(
                one.model_copy(update={"rewards": shuffled(one.rewards)})
                for one in evidence.alongside
            ),
            "stages": tuple(
                one.model_copy(update={name: shuffled(getattr(one, name)) for name in STAGES})
                for one in evidence.stages
            ),
            "transfer": tuple(
                one.model_copy(update={"prompts": moved(one.prompts)}) for one in evidence.transfer
            ),
        }
    )
    apart = {"evidence", "digest"}
    one, other = (
        judge(make_hypothesis(), found, (), method=method) for found in (evidence, second)
    )
    assert one.model_dump(exclude=apart) == other.model_dump(exclude=apart)


@given(gaps=finite_gaps, shift=st.floats(min_value=-50, max_value=50))
def test_a_constant_on_one_prompt_changes_nothing(
    make_evidence, full, make_hypothesis, method, gaps, shift
):
    evidence = full(make_evidence(gaps))
    moved = changed(evidence, lambda prompt, reward: reward + shift * (prompt == 0))
    first = judge(make_hypothesis(), evidence, (), method=method)
    second = judge(make_hypothesis(), moved, (), method=method)
    assert outcomes(first) == outcomes(second)
    for name in ("gap", "residual", "closure", "collateral", "sufficiency", "transfer_closure"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert other.value == pytest.approx(one.value, abs=1e-9)
            assert other.low == pytest.approx(one.low, abs=1e-2)
            assert other.high == pytest.approx(one.high, abs=1e-2)


@given(gaps=finite_gaps, scale=st.sampled_from([0.125, 4.0, 1024.0]))
def test_the_unit_of_reward_does_not_matter(
    make_evidence, full, make_hypothesis, method, gaps, scale
):
    evidence = full(make_evidence(gaps))

    def scaled(one, *names):
        return one.model_copy(
            update={name: tuple(gap * scale for gap in getattr(one, name)) for name in names}
        )

    second = changed(evidence, lambda _, reward: reward * scale).model_copy(
        update={
            "null": tuple(scaled(one, "gap") for one in evidence.null),
            "transfer": tuple(scaled(one, "gap", "gap_after") for one in evidence.transfer),
            "sigma": evidence.sigma * scale,
            "noise": evidence.noise * scale,
        }
    )
    one, other = (
        judge(make_hypothesis(), found, (), method=method) for found in (evidence, second)
    )
    for name in (
        *("checks", "warnings", "gap_sigma", "closure", "closure_by_fold", "alongside"),
        *("sufficiency", "transfer", "transfer_closure", "stability", "collateral"),
    ):
        assert getattr(one, name) == getattr(other, name)


@given(gaps=finite_gaps, closure=st.floats(min_value=-0.5, max_value=1.5))
def test_intervals_hold_their_estimates_and_only_finite_passes(
    make_evidence, make_hypothesis, method, gaps, closure
):
    record = judge(make_hypothesis(), make_evidence(gaps, closure=closure), (), method=method)
    for name in ("gap", "residual", "closure", "collateral", "examples_moved"):
        figure = getattr(record, name)
        if figure is not None:
            assert figure.low is None or figure.low <= figure.value
            assert figure.high is None or figure.value <= figure.high


def test_more_closure_never_judges_worse(make_evidence, make_hypothesis, method, gaps):
    rank = {"fail": 0, "inconclusive": 1, "pass": 2}
    ladder = [
        rank[
            outcomes(
                judge(
                    make_hypothesis(),
                    make_evidence(gaps, closure=closure, jitter=0.1),
                    (),
                    method=method,
                )
            )["explained"]
        ]
        for closure in np.linspace(0.0, 1.0, 11)
    ]
    assert ladder == sorted(ladder)
    assert set(ladder) == {0, 1, 2}


def test_verdicts_hold_under_python_minus_o():
    script = textwrap.dedent("""
        import math
        from pm_audit.errors import NumericalError
        from pm_audit.records import Evidence, Role, RowEvidence
        from pm_audit.judging.prompts import tabulate
        row = RowEvidence.model_construct(
            prompt=0, role=Role.EXAMPLE, variant=0, text="", reward=math.nan, ablated=0.0,
            single_sum=None,
        )
        evidence = Evidence.model_construct(
            prompts=("p",), rows=(row,), sigma=1.0, noise=0.0, folds=(), null=(), fits=()
        )
        try:
            tabulate(evidence)
        except NumericalError:
            print("refused")
    """)
    answer = subprocess.run(
        [sys.executable, "-O", "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "refused"


def test_a_figure_of_one_value_per_prompt_is_the_gaps_own(
    make_evidence, make_hypothesis, method, gaps
):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    figure = figure_of(gaps, method=method, unit=Unit.REWARD)
    assert figure.value == pytest.approx(record.gap.value)
    assert figure.low == pytest.approx(record.gap.low, abs=0.01)
    assert figure_of(gaps[::-1], method=method, unit=Unit.REWARD) == figure


def test_no_verdict_rests_on_an_assert():
    for package in (pm_audit.judging, pm_audit.stats):
        for file in Path(package.__file__).parent.glob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)], file


def test_a_record_whose_thresholds_are_broken_cannot_be_rejudged(
    make_evidence, make_hypothesis, method, gaps
):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    broken = record.model_copy(update={"expect": {"gap": "sideways"}})
    with pytest.raises(RecordError, match=r"planted\.yaml:1"):
        rejudge(broken, method=method)


def test_each_check_is_reported_once_and_in_order(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    assert [result.check for result in record.checks] == list(Check)
    assert all(result.outcome in Outcome for result in record.checks)
