"""Whole audits of planted PMs, where every figure is known."""

from __future__ import annotations

import pytest
import torch

from pm_audit.judging import rejudge
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Check, HypothesisRecord, Outcome
from pm_audit.spec import Hypothesis, SearchMode, SetSearch, Settings
from recipes.planted.linear import Planted, plant
from tests.search.conftest import parted, phrased

torch.set_num_threads(1)

SHARED = phrased("!;", ";!", counter_examples=[";;"], prompts=10)
"""Two phrasings that one feature carries."""
APART = phrased("!;", ";~", counter_examples=[";;"], prompts=10)
"""Two phrasings with a feature each."""


@pytest.fixture(scope="module")
def model() -> Planted:
    return plant({"!": 0.4, "~": 0.4}, seed=1)


def audited(model: Planted, hypothesis: Hypothesis, **settings) -> HypothesisRecord:
    given = {"null_sets": 3, "bootstrap_resamples": 100, "candidates": 16, "saes": None} | settings
    saes = given.pop("saes") or (model.sae,)
    auditor = Auditor(Settings(**given), subject=(model.pm, saes))
    record = auditor.audit(hypothesis)
    assert rejudge(record, method=auditor.method) == record
    assert record.digest == record.computed_digest()
    return record


def selected(record: HypothesisRecord) -> list[set[int]]:
    return [{feature.index for feature in fold.selected} for fold in record.evidence.folds]


def planted(model: Planted, marks: str) -> set[int]:
    return {model.latent_of[mark] for mark in marks}


@pytest.mark.parametrize("way", SetSearch)
@pytest.mark.parametrize(("hypothesis", "marks"), [(SHARED, "!"), (APART, "!~")])
def test_the_planted_set_closes_the_whole_gap_alone_and_moves_nothing_else(
    model, way, hypothesis, marks
):
    record = audited(model, hypothesis, set_search=way)
    assert selected(record) == [planted(model, marks)] * 2
    for figure, value in {
        "closure": 1.0,
        "sufficiency": 1.0,
        "collateral": 0.0,
        "residual_share": 0.0,
        "interaction": 0.0,
        "stability": 1.0,
    }.items():
        assert getattr(record, figure).value == pytest.approx(value, abs=1e-3), figure
    (parts,) = record.decompositions
    assert parts.selected.value == pytest.approx(record.gap.value, rel=1e-3)
    for other in (parts.other_features, parts.error_term, parts.rest, parts.error_first):
        assert other.value == pytest.approx(0.0, abs=1e-3)
    assert record.outcomes == dict.fromkeys(Check, Outcome.PASS)


def test_what_phrasings_share_closes_those_that_no_search_saw(model):
    record = audited(model, SHARED)
    assert [one.phrasing for one in record.transfer] == [0, 1]
    for figure in (*(one.closure for one in record.transfer), record.transfer_closure):
        assert figure.value == pytest.approx(1.0, abs=1e-3)


def test_a_phrasing_with_a_feature_of_its_own_is_not_closed_by_the_others(model):
    record = audited(model, APART)
    for figure in (*(one.closure for one in record.transfer), record.transfer_closure):
        assert figure.value == pytest.approx(0.0, abs=1e-3)
    for one, other in zip(record.evidence.transfer, ("~", "!"), strict=True):
        assert {feature.index for feature in one.selected} == planted(model, other)


def test_a_single_phrasing_has_no_transfer_and_is_warned_of(model):
    record = audited(model, phrased("!", counter_examples=[";"]))
    assert record.transfer == record.evidence.transfer == ()
    assert record.transfer_closure is None
    assert any("phrasing" in warning for warning in record.warnings)


@pytest.mark.parametrize("replacement", ["contrast", "zero", "mean", "resample"])
def test_every_replacement_can_be_the_methods_own(model, replacement):
    record = audited(model, SHARED, replacement=replacement)
    assert selected(record) == [planted(model, "!")] * 2
    # no counter-example has the mark, so all of them put nothing in its place
    assert record.closure.value == pytest.approx(1.0, abs=1e-3)
    others = [one for one in ("contrast", "zero", "mean", "resample") if one != replacement]
    assert [one.replacement for one in record.alongside] == others
    for one in record.alongside:
        assert one.closure.value == pytest.approx(1.0, abs=1e-3)


def test_what_zero_moves_elsewhere_counts_and_contrast_takes_the_difference(model):
    both = phrased("!!", counter_examples=["!;"], prompts=10)
    record = audited(model, both)
    assert selected(record) == [planted(model, "!")] * 2
    assert record.closure.value == pytest.approx(1.0, abs=1e-3)
    assert record.collateral.value == pytest.approx(0.0, abs=1e-3)
    # zero would move the counter-example by as much as the gap
    assert selected(audited(model, both, replacement="zero")) == [set(), set()]
    free = audited(model, both, replacement="zero", collateral_penalty=0)
    assert selected(free) == [planted(model, "!")] * 2
    assert free.closure.value == pytest.approx(1.0, abs=1e-3)
    assert free.collateral.value == pytest.approx(1.0, abs=1e-3)
    assert free.outcomes[Check.SPECIFIC] is Outcome.FAIL


@pytest.mark.parametrize("mode", SearchMode)
def test_an_audit_says_how_its_candidates_were_found(model, mode):
    attribution = mode is SearchMode.ATTRIBUTION
    record = audited(model, SHARED, search=mode, budget_count=4, extra_scores=attribution)
    assert selected(record) == [planted(model, "!")] * 2
    sweeps = record.evidence.sweeps
    assert [one.fold for one in sweeps] == ([] if attribution else [0, 1])
    for sweep in sweeps:
        assert sweep.measured == (sweep.active if mode is SearchMode.EXHAUSTIVE else 4)
        assert sweep.predicted is not None


def test_more_folds_are_compared_with_halves(model):
    record = audited(model, APART, folds=5)
    assert selected(record) == [planted(model, "!~")] * 5
    held_out = [prompt for fold in record.evidence.folds for prompt in fold.held_out]
    assert sorted(held_out) == list(range(10))
    assert record.closure_by_fold == pytest.approx([1.0] * 5, abs=1e-3)
    assert [{one.index for one in half} for half in record.evidence.halves] == [
        planted(model, "!~")
    ] * 2
    assert (record.stability.low, record.stability.high) == (1.0, 1.0)
    assert audited(model, APART).evidence.halves == ()


def test_features_of_several_saes_make_one_set(model):
    saes = parted(model, "!", "~*+^=&%")
    record = audited(model, APART, saes=saes)
    for fold in record.evidence.folds:
        names = {(one.sae, one.index) for one in fold.selected}
        assert names == {("part-0", model.latent_of["!"]), ("part-1", model.latent_of["~"])}
    assert record.closure.value == pytest.approx(1.0, abs=1e-3)
    whole, *alone = record.decompositions
    assert whole.selected.value == pytest.approx(record.gap.value, rel=1e-3)
    for parts in alone:
        assert parts.selected.value == pytest.approx(record.gap.value / 2, rel=1e-2)


def test_placebo_searches_close_nothing(model):
    record = audited(model, SHARED, placebos=3)
    assert len(record.evidence.placebos) == 3
    assert record.placebo_closure.value < 0.5 < record.closure.value


def test_candidates_that_were_not_selected_are_shown_too():
    # the second mark carries less than a move has to gain
    model = plant({"!": 0.4, "~": 0.001}, seed=1)
    both = phrased("!~;", "~;!", counter_examples=[";;;"], prompts=10)
    record = audited(model, both)
    others = [feature for feature in record.features if not feature.folds]
    assert others
    sizes = [abs(feature.contribution.value) for feature in record.features]
    assert sizes == sorted(sizes, reverse=True)
    (carrier,) = (feature for feature in record.features if feature.folds)
    assert carrier.contribution.value == pytest.approx(record.gap.value, rel=1e-2)
    assert carrier.selectivity == pytest.approx(1.0)
