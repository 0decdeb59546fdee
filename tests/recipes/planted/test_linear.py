from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pm_audit.judging import rejudge
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Check, HypothesisRecord, Outcome
from pm_audit.spec import Effect, Settings, expand
from pm_audit.subject.preflight import preflight
from recipes.planted.hypothesis import marks_hypothesis
from recipes.planted.linear import SCALE, STRENGTH, Planted, plant

torch.set_num_threads(1)

WEIGHTS = {"!": 3.0, "*": 2.0, "~": 1.0, "^": -2.5, "=": -1.5}
SETTINGS = Settings(null_sets=5, bootstrap_resamples=200)
LIKED = marks_hypothesis("!*~", effect=Effect.RAISES)
DISLIKED = marks_hypothesis("^=", effect=Effect.LOWERS)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(WEIGHTS)


@pytest.fixture(scope="module")
def auditor(planted: Planted) -> Auditor:
    return Auditor(SETTINGS, subject=(planted.pm, (planted.sae,)))


@pytest.fixture(scope="module", params=["!*~", "^="])
def audited(request: pytest.FixtureRequest, auditor: Auditor) -> tuple[str, HypothesisRecord]:
    hypothesis = {"!*~": LIKED, "^=": DISLIKED}[request.param]
    return request.param, auditor.audit(hypothesis)


def test_it_passes_the_preflight(planted: Planted) -> None:
    assert all(finding.passed for finding in preflight(planted.pm))


def test_the_selected_set_is_the_planted_set(
    planted: Planted, audited: tuple[str, HypothesisRecord]
) -> None:
    marks, record = audited
    wanted = {planted.latent_of[mark] for mark in marks}
    for fold in record.evidence.folds:
        assert {feature.index for feature in fold.selected} == wanted
    assert {feature.index for feature in record.features if feature.folds} == wanted


def test_closure_is_one(audited: tuple[str, HypothesisRecord]) -> None:
    _, record = audited
    assert record.closure is not None
    assert record.collateral is not None
    assert record.closure.value == pytest.approx(1.0, abs=1e-3)
    assert record.collateral.value == pytest.approx(0.0, abs=1e-3)
    assert record.interaction is not None
    assert record.interaction.value == pytest.approx(0.0, abs=1e-4)
    outcomes = {result.check: result.outcome for result in record.checks}
    assert set(outcomes) == set(Check)
    assert set(outcomes.values()) == {Outcome.PASS}, record.checks


def test_contributions_are_weights_times_activations(
    planted: Planted, audited: tuple[str, HypothesisRecord]
) -> None:
    marks, record = audited
    hypothesis = LIKED if marks == "!*~" else DISLIKED
    # an example of each prompt, the phrasings taken in turn
    rows = [
        planted.pm.text_format.tokenise(case.turns, case.text)
        for case in expand(hypothesis)
        if case.role == "example" and case.variant == case.prompt % len(hypothesis.examples)
    ]
    assert len(rows) == len(hypothesis.prompts)
    by_index = {feature.index: feature for feature in record.features}
    for mark in marks:
        latent = planted.latent_of[mark]
        truth = sum(planted.contribution(latent, row) for row in rows) / len(rows)
        assert by_index[latent].contribution.value == pytest.approx(truth, abs=1e-4)
        # and by hand: one mark a row, of known strength
        by_hand = sum(1 / len(row.token_ids) for row in rows) / len(rows)
        assert truth == pytest.approx(SCALE * WEIGHTS[mark] * STRENGTH * by_hand, rel=1e-5)


def test_an_unplanted_mark_makes_no_gap(auditor: Auditor) -> None:
    record = auditor.audit(marks_hypothesis("%", effect=Effect.RAISES))
    assert record.gap.value == pytest.approx(0.0, abs=1e-4)
    outcomes = {result.check: result.outcome for result in record.checks}
    assert outcomes[Check.GAP] is not Outcome.PASS
    assert record.closure is None


def test_unknown_marks_are_refused() -> None:
    with pytest.raises(ValueError, match="is no mark"):
        plant({"x": 1.0})
    with pytest.raises(ValueError, match="there are 20"):
        marks_hypothesis("!", effect=Effect.RAISES, prompts=21)


def test_each_of_two_saes_accounts_for_the_gap_as_it_sees_it(planted: Planted) -> None:
    blind = replace(planted.sae, name="blind", b_enc=torch.full_like(planted.sae.b_enc, -1e6))
    auditor = Auditor(SETTINGS, subject=(planted.pm, (planted.sae, blind)))
    record = auditor.audit(LIKED)
    _, own, other = record.decompositions
    assert (own.sae, other.sae) == (planted.sae.name, "blind")
    assert own.selected.value == pytest.approx(record.gap.value, rel=1e-3)
    assert other.selected.value == pytest.approx(0.0, abs=1e-6)
    # what the blind one does not see is all in its error term
    assert other.error_term.value == pytest.approx(record.gap.value, rel=1e-3)
    assert rejudge(record, method=auditor.method) == record


def test_nothing_is_searched_for_where_there_is_no_gap(auditor: Auditor) -> None:
    same = marks_hypothesis("+&", effect=Effect.RAISES, counter_marks="&+")
    record = auditor.audit(same)
    assert record.closure is None
    assert record.features == record.evidence.folds == record.evidence.null == ()
    assert record.residual == record.gap
    assert "no feature was searched for" in " ".join(record.warnings)
    outcomes = {result.check: result.outcome for result in record.checks}
    assert outcomes[Check.GAP] in (Outcome.FAIL, Outcome.INCONCLUSIVE)
    assert outcomes[Check.EXPLAINED] is outcomes[Check.SPECIFIC] is Outcome.INVALID
    assert "no gap to explain" in record.checks[1].reason
    assert rejudge(record, method=auditor.method) == record
