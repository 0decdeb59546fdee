"""The account of a gap by each of several SAEs alone."""

from __future__ import annotations

import pytest

from pm_audit.errors import RecordError
from pm_audit.judging import judge, rejudge
from pm_audit.records import Evidence, LayerEvidence


def with_layers(evidence: Evidence, **left: tuple[float, float, float]) -> Evidence:
    """Return evidence in which SAEs leave these shares of the gap after each replacement."""
    size = 1.0

    def rewards(share: float) -> tuple[float, ...]:
        return tuple(size * share * (row.role == "example") for row in evidence.rows)

    layers = tuple(
        LayerEvidence(
            sae=name,
            layer=number,
            mean=rewards(shares[0]),
            features_replaced=rewards(shares[1]),
            stream_replaced=rewards(shares[2]),
        )
        for number, (name, shares) in enumerate(left.items())
    )
    return evidence.model_copy(update={"layers": layers})


def test_each_sae_accounts_for_the_whole_gap(make_evidence, make_hypothesis, method, gaps):
    evidence = with_layers(make_evidence(gaps), low=(0.9, 0.4, 0.1), high=(0.5, 0.5, 0.5))
    record = judge(make_hypothesis(), evidence, (), method=method)
    low, high = record.layer_shares
    assert (low.sae, low.layer, high.sae, high.layer) == ("low", 0, "high", 1)
    assert low.shares.selected.value == pytest.approx(record.gap.value - 0.9)
    assert low.shares.other_features.value == pytest.approx(0.5)
    assert low.shares.error_term.value == pytest.approx(0.3)
    assert low.shares.rest.value == pytest.approx(0.1)
    assert high.shares.selected.value == pytest.approx(record.gap.value - 0.5)
    assert high.shares.error_term.value == pytest.approx(0.0)
    assert rejudge(record, method=method) == record


def test_one_sae_has_no_account_of_its_own(make_evidence, make_hypothesis, method, gaps):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    assert record.layer_shares == ()


def test_records_from_before_there_were_layers_keep_their_digest(
    make_evidence, make_hypothesis, method, gaps
):
    record = judge(make_hypothesis(), make_evidence(gaps), (), method=method)
    older = record.model_dump(mode="json")
    del older["layer_shares"], older["evidence"]["layers"]
    assert type(record).model_validate(older).computed_digest() == record.digest


def test_a_torn_account_is_refused(make_evidence, make_hypothesis, method, gaps):
    evidence = with_layers(make_evidence(gaps), low=(0.9, 0.4, 0.1))
    short = evidence.layers[0].model_copy(update={"mean": evidence.layers[0].mean[:-1]})
    with pytest.raises(RecordError, match=r"SAE low: mean has \d+ rewards for \d+ rows"):
        judge(
            make_hypothesis(),
            evidence.model_copy(update={"layers": (short,)}),
            (),
            method=method,
        )
