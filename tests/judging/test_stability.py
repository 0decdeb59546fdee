from types import SimpleNamespace

import pytest

from pm_audit.judging import judge, rejudge
from pm_audit.judging.stability import jaccard, stability_of
from pm_audit.records import Feature


def features(*indices: int, sae: str = "mid") -> tuple[Feature, ...]:
    return tuple(Feature(sae=sae, layer=6, index=index) for index in indices)


@pytest.mark.parametrize(
    ("one", "other", "index"),
    [
        (features(1, 2, 3, 4), features(3, 4, 5, 6), 1 / 3),  # half of each is shared
        (features(1, 2), features(2, 1), 1.0),
        (features(1), features(1, sae="low"), 0.0),
        (features(1, 2), (), 0.0),
        ((), (), 0.0),
    ],
)
def test_two_sets(one, other, index):
    assert jaccard(one, other) == jaccard(other, one) == pytest.approx(index)


def test_every_pair_of_folds_counts_and_the_halves():
    chosen = [features(1, 2), features(1, 2), features(2, 3)]
    folds = tuple(SimpleNamespace(selected=one) for one in chosen)
    found = stability_of(SimpleNamespace(folds=folds, halves=()))
    assert found.value == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert (found.low, found.high) == (pytest.approx(1 / 3), 1.0)
    halves = (features(5), features(6))
    found = stability_of(SimpleNamespace(folds=folds, halves=halves))
    assert found.value == pytest.approx((1 + 1 / 3 + 1 / 3 + 0) / 4)
    assert found.low == 0.0
    assert stability_of(SimpleNamespace(folds=(), halves=())) is None


def test_it_is_a_figure_of_a_gap_that_was_found(make_evidence, make_hypothesis, method, gaps):
    evidence = make_evidence(gaps).model_copy(update={"halves": (features(812), features(812, 5))})
    record = judge(make_hypothesis(), evidence, (), method=method)
    assert (record.stability.low, record.stability.value, record.stability.high) == (0.5, 0.75, 1.0)
    assert rejudge(record, method=method) == record
    nothing = make_evidence([0.0] * 12)
    assert judge(make_hypothesis(), nothing, (), method=method).stability is None
