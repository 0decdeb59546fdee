from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.data import Sample, read_rows
from pm_audit.data.sampling import allocate

ROWS = [
    {"prompt": f"p{at}", "chosen": "a", "rejected": "b", "subset": "x" if at % 4 else "y"}
    for at in range(60)
]

sizes = st.dictionaries(st.text(max_size=3), st.integers(1, 200), min_size=1, max_size=12)


def drawn(rows: list[dict[str, str]], sample: Sample) -> list[str]:
    return [pair.turns[0].text for pair in read_rows(rows, sample=sample).pairs]


@given(st.integers(1, 70), st.integers(0, 5), st.sampled_from([None, "subset"]), st.randoms())
def test_the_sample_does_not_depend_on_the_order_of_the_rows(
    size: int, seed: int, by: str | None, shuffling: random.Random
) -> None:
    sample = Sample(size, seed, by)
    shuffled = list(ROWS)
    shuffling.shuffle(shuffled)
    first = drawn(ROWS, sample)
    assert len(first) == min(size, len(ROWS))
    assert first == [row["prompt"] for row in ROWS if row["prompt"] in first]
    assert set(drawn(shuffled, sample)) == set(first)


@given(st.integers(1, 59), st.integers(0, 5))
def test_a_larger_sample_holds_the_smaller_one(size: int, seed: int) -> None:
    assert set(drawn(ROWS, Sample(size, seed))) < set(drawn(ROWS, Sample(size + 1, seed)))


def test_another_seed_draws_others_and_ids_have_no_part_in_it() -> None:
    first = drawn(ROWS, Sample(20))
    assert first != drawn(ROWS, Sample(20, seed=1))
    named = [row | {"id": str(at)} for at, row in enumerate(ROWS)]
    assert drawn(named, Sample(20)) == first


def test_strata_keep_their_shares() -> None:
    found = read_rows(ROWS, sample=Sample(20, by="subset")).pairs
    assert Counter(pair.columns["subset"] for pair in found) == {"x": 15, "y": 5}


def test_every_pair_is_drawn_about_as_often_as_another() -> None:
    counts = Counter(name for seed in range(300) for name in drawn(ROWS, Sample(20, seed)))
    assert len(counts) == 60
    # binomial of 300 draws at one third: five standard deviations are 41
    assert all(59 < count < 141 for count in counts.values())


@given(sizes, st.integers(1, 300))
def test_a_sample_is_dealt_out_by_shares_and_leaves_no_stratum_out(
    sizes: dict[str, int], total: int
) -> None:
    taken = allocate(sizes, total)
    every = sum(sizes.values())
    assert sum(taken.values()) == min(total, every)
    assert all(0 <= taken[name] <= sizes[name] for name in sizes)
    if total >= len(sizes):
        assert min(taken.values()) >= 1
    exact = {name: size * min(total, every) / every for name, size in sizes.items()}
    if min(exact.values()) >= 1:
        assert all(abs(taken[name] - exact[name]) < 1 for name in sizes)
    shuffled = dict(sorted(sizes.items(), reverse=True))
    assert allocate(shuffled, total) == taken
