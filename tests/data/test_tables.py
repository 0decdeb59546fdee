"""Files that cannot be read, and texts that come back to the letter from those that can."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from csv import QUOTE_ALL
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_audit.data import read_pairs
from pm_audit.errors import InvalidSpec

GOOD = {"prompt": "p", "chosen": "a", "rejected": "b"}

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() and not text.lstrip().startswith("Human:")
)


def jsonl(rows: list[dict[str, str]]) -> tuple[str, bytes]:
    return "set.jsonl", "\n".join(map(json.dumps, rows)).encode()


def unescaped(rows: list[dict[str, str]]) -> tuple[str, bytes]:
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    return "set.jsonl", "\n".join(lines).encode()


def array(rows: list[dict[str, str]]) -> tuple[str, bytes]:
    return "set.json", json.dumps(rows, ensure_ascii=False).encode()


def parquet(rows: list[dict[str, str]]) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    return "set.parquet", buffer.getvalue()


def csv(rows: list[dict[str, str]]) -> tuple[str, bytes]:
    # without quotes pandas itself reads a lone carriage return as the end of the row
    return "set.csv", pd.DataFrame(rows).to_csv(index=False, quoting=QUOTE_ALL).encode()


@pytest.mark.parametrize("write", [jsonl, unescaped, array, parquet, csv])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(prompt=texts, chosen=texts, rejected=texts)
def test_any_text_comes_back_to_the_letter(
    tmp_path: Path,
    write: Callable[[list[dict[str, str]]], tuple[str, bytes]],
    prompt: str,
    chosen: str,
    rejected: str,
) -> None:
    row = {"prompt": prompt, "chosen": f"{chosen}1", "rejected": f"{rejected}2"}
    name, content = write([row])
    (tmp_path / name).write_bytes(content)
    (pair,) = read_pairs(tmp_path / name).pairs
    assert [turn.text for turn in pair.turns] == [prompt]
    for found, text in ((pair.examples, row["chosen"]), (pair.counter_examples, row["rejected"])):
        assert found == (text if text[0].isspace() else f" {text}",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.jsonl", None, "there is no such file or folder; check the name"),
        ("set.xlsx", b"x", r"is none of \.jsonl, .*, or a folder of these; convert it"),
        ("set.parquet", b"x", "is not Parquet: .*; write the file again"),
        ("set.arrow", b"x", "is not Arrow: .*; write the file again"),
        ("set.json", b'[{"a": 1},', "is not JSON: .*; correct it, or write one object a line"),
        ("set.jsonl.gz", b"x", "cannot be read: .*; fetch or write the file again"),
        (
            "set.jsonl.gz",
            gzip.compress(b"{}" * 999, mtime=0)[:-9],
            "cannot be read: .*; fetch or write",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSpec, match=message):
        read_pairs(tmp_path / name)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b""}, "holds no data file; name one file, or a folder with files of one"),
        ({"a.csv": b"", "b.jsonl": b""}, r"holds files of several kinds \(\.csv, \.jsonl\)"),
        (
            {"test-00000-of-00001.csv": b"", "train-00000-of-00001.csv": b""},
            r"holds several splits \(test, train\); put the files of one in a folder",
        ),
        ({"state.json": b"{"}, r"state.json: does not list the data files"),
        (
            {"state.json": b'{"_data_files": [{"filename": "../a.arrow"}]}'},
            "names what is no Arrow file of its folder",
        ),
        (
            {"state.json": b'{"_data_files": [{"filename": "a.txt"}]}'},
            "names what is no Arrow file of its folder",
        ),
        (
            {"state.json": b'{"_data_files": [{"filename": "gone.arrow"}]}'},
            "gone.arrow: cannot be read: ",
        ),
        (
            {"state.json": b'{"_data_files": [], "_indices_data_files": [{"filename": "i"}]}'},
            "save `dataset.flatten_indices()`",
        ),
    ],
)
def test_a_folder_that_is_no_one_set_is_an_error(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSpec, match=message.replace("()", r"\(\)")):
        read_pairs(tmp_path)


def test_broken_bytes_of_columnar_files_and_of_csv_are_rows_that_are_skipped(
    tmp_path: Path,
) -> None:
    column = pa.array([b"p", b"\xff", b"q"], pa.binary()).cast(pa.string(), safe=False)
    same = pa.array(["a", "a", "a"])
    table = pa.table({"prompt": column, "chosen": same, "rejected": pa.array(["b", "b", "b"])})
    pq.write_table(table, tmp_path / "set.parquet")
    (tmp_path / "set.csv").write_bytes(
        b"prompt,chosen,rejected\np,a,b\n\xff,a,b\nq,a,b\nr,a\ns,a,b,c\n"
    )
    columnar, separated = (read_pairs(tmp_path / f"set.{kind}") for kind in ("parquet", "csv"))
    assert [(one.row, one.detail) for one in columnar.skipped] == [
        (1, "holds bytes that are not UTF-8")
    ]
    assert [(one.row, one.detail[:24]) for one in separated.skipped] == [
        (1, "holds bytes that are not"),
        (3, "has fewer fields than th"),
        (4, "has more fields than the"),
    ]
    assert [pair.row for pair in columnar.pairs] == [pair.row for pair in separated.pairs] == [0, 2]


def test_rows_of_a_folder_are_numbered_over_its_files(tmp_path: Path) -> None:
    for name, prompts in (("b", "34"), ("a", "012")):
        rows = [GOOD | {"prompt": prompt} for prompt in prompts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_pairs(tmp_path)
    assert [(pair.row, pair.turns[0].text) for pair in found.pairs] == [
        (number, str(number)) for number in range(5)
    ]


def test_without_pyarrow_an_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set.parquet").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidSpec, match=r'needs pyarrow; `pip install "pm-audit\[data\]"`'):
        read_pairs(tmp_path / "set.parquet")


def test_a_field_may_be_longer_than_python_reads_by_default(tmp_path: Path) -> None:
    long = "x" * 200_000
    (tmp_path / "set.csv").write_text(f"prompt,chosen,rejected\n{long},a,b\n")
    assert read_pairs(tmp_path / "set.csv").pairs[0].turns[0].text == long
