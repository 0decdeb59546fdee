"""Pairs are read with their line numbers, split by prompt and grouped without loss."""

import gzip
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.errors import InvalidSpec
from recipes.train.preferences import Pair, even_epochs, group_by_prompt, is_test, read_pairs

ROW = {"source": "a/b", "prompt_id": "1", "prompt": "p", "chosen": "x", "rejected": " y"}


def pair(source: str, prompt: int, chosen: str, rejected: str) -> Pair:
    return Pair(source, str(prompt), f"prompt {prompt}", chosen, rejected)


pairs = st.lists(
    st.builds(
        pair,
        st.sampled_from(["s", "t"]),
        st.integers(0, 5),
        st.sampled_from("abc"),
        st.sampled_from("xyz"),
    ),
    max_size=30,
)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_completions_get_one_leading_space(tmp_path, suffix):
    path = tmp_path / f"pairs{suffix}"
    written = (json.dumps(ROW) + "\n").encode()
    path.write_bytes(gzip.compress(written) if suffix.endswith("gz") else written)
    (found,) = read_pairs(path)
    assert (found.source, found.chosen, found.rejected) == ("a", " x", " y")


@pytest.mark.parametrize("line", ["{", "[]", '{"source": "a"}'])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + line + "\n")
    with pytest.raises(InvalidSpec, match=r"pairs\.jsonl:2: not a preference pair"):
        read_pairs(path)


@given(pairs)
def test_a_prompt_is_never_on_both_sides_of_the_split(rows):
    assert not {row.prompt_id for row in rows if is_test(row)} & {
        row.prompt_id for row in rows if not is_test(row)
    }


@given(pairs, st.integers(1, 4))
def test_groups_hold_every_pair_once(rows, most):
    groups = group_by_prompt(rows, most=most, seed=0)
    found = [
        (group.source, group.prompt, group.completions[chosen], group.completions[rejected])
        for group in groups
        for chosen, rejected in group.pairs
    ]
    assert sorted(found) == sorted(
        (row.source, row.prompt, row.chosen, row.rejected) for row in rows
    )
    assert all(len(group.pairs) <= most for group in groups)


def test_an_epoch_of_a_source_holds_each_of_its_groups_once():
    groups = group_by_prompt([pair("s", i, "a", "x") for i in range(7)], most=1, seed=0)
    drawn = list(itertools.islice(even_epochs(groups, seed=0, emphasis={}), 14))
    assert sorted(group.prompt for group in drawn[:7]) == sorted(group.prompt for group in groups)
    assert sorted(group.prompt for group in drawn[7:]) == sorted(group.prompt for group in groups)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.jsonl", b"\xff\xfe"),
        ("pairs.jsonl.gz", b"not compressed"),
        ("pairs.jsonl.gz", gzip.compress(b'{"source": "s"}\n' * 99, mtime=0)[:-9]),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidSpec, match=r"pairs\.jsonl"):
        read_pairs(path)
