"""Rows as well-known sets publish them load with no hand-editing, whatever library wrote them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from pm_audit.data import Pair, Speaker, Turn, read_pairs
from pm_audit.errors import InvalidSpec

Rows = list[dict[str, Any]]

datasets.disable_progress_bars()

LONG = 'def f(x):\n    return {\'a\': x, "b": f"{x!r}"}  # 100%\r\n\t🧑🏽‍💻 ٣ \u2028' * 600


def human(text: str) -> Turn:
    return Turn(speaker=Speaker.HUMAN, text=text)


def said(text: str) -> Turn:
    return Turn(speaker=Speaker.ASSISTANT, text=text)


def message(role: str, content: str) -> dict[str, str]:
    return {"content": content, "role": role}


HH = [
    {
        "chosen": '\n\nHuman: What {are} you?\n\nAssistant: A "model"\n\nHuman: So?\n\nAssistant: '
        + tail,
        "rejected": '\n\nHuman: What {are} you?\n\nAssistant: A "model"\n\nHuman: So?\n\n'
        "Assistant: No.",
    }
    for tail in ("Yes.\n\nReally", "I said {{so}}: Human: a")
]
ULTRAFEEDBACK = [
    {
        "prompt": f"Write {number}",
        "prompt_id": f"{number:064x}",
        "chosen": [message("user", f"Write {number}"), message("assistant", "Done 🙂")],
        "rejected": [message("user", f"Write {number}"), message("assistant", "No")],
        "messages": [message("user", f"Write {number}"), message("assistant", "Done 🙂")],
        "score_chosen": 8.5,
        "score_rejected": 3.0,
    }
    for number in range(2)
]
RM_BENCH = [
    {
        "id": f"chat/{number} \u202e<b>",
        "prompt": f"Explain {number}",
        "chosen": ["Short", "Plain and long", "# Long\n* and marked up"],
        "rejected": ["Bad", "Plain and wrong", "# Wrong\n* and marked up"],
        "domain": "chat",
    }
    for number in range(2)
]
REWARD_BENCH = [
    {
        "prompt": f"Who is {number}?",
        "chosen": "A\n",
        "chosen_model": "gpt",
        "rejected": " B",
        "rejected_model": "llama",
        "subset": "alpacaeval-easy",
        "id": number,
    }
    for number in range(2)
]
CODE = [
    {"prompt": f"{LONG}{number}", "chosen": f"{LONG}!", "rejected": f"{LONG}?"}
    for number in range(2)
]

PUBLISHED = {
    "hh": HH,
    "ultrafeedback": ULTRAFEEDBACK,
    "rm_bench": RM_BENCH,
    "reward_bench": REWARD_BENCH,
    "code": CODE,
}


def by_datasets(rows: Rows) -> datasets.Dataset:
    return datasets.Dataset.from_list(rows)


def jsonl(rows: Rows, folder: Path) -> Path:
    by_datasets(rows).to_json(folder / "set.jsonl")
    return folder / "set.jsonl"


def gzipped(rows: Rows, folder: Path) -> Path:
    path = folder / "set.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return path


def array(rows: Rows, folder: Path) -> Path:
    path = folder / "set.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8-sig")
    return path


def parquet(rows: Rows, folder: Path) -> Path:
    by_datasets(rows).to_parquet(folder / "set.parquet")
    return folder / "set.parquet"


def shards(rows: Rows, folder: Path) -> Path:
    (folder / "repo" / "data").mkdir(parents=True)
    (folder / "repo" / "README.md").write_text("a card")
    for number, row in enumerate(rows):
        name = f"train-{number:05}-of-{len(rows):05}.parquet"
        pd.DataFrame([row]).to_parquet(folder / "repo" / "data" / name)
    return folder / "repo"


def saved(rows: Rows, folder: Path) -> Path:
    by_datasets(rows).save_to_disk(folder / "saved")
    return folder / "saved"


def saved_split(rows: Rows, folder: Path) -> Path:
    datasets.DatasetDict(train=by_datasets(rows)).save_to_disk(folder / "saved")
    return folder / "saved"


def separated(rows: Rows, folder: Path) -> Path:
    pd.DataFrame(rows).to_csv(folder / "set.csv", index=False)
    return folder / "set.csv"


def tabbed(rows: Rows, folder: Path) -> Path:
    pd.DataFrame(rows).to_csv(folder / "set.tsv", index=False, sep="\t")
    return folder / "set.tsv"


WRITERS = (jsonl, gzipped, array, parquet, shards, saved, saved_split)
OF_TEXTS = (separated, tabbed)
"""Writers of formats that hold texts and numbers only."""


def cases() -> list[Any]:
    every = [(name, writer) for name in PUBLISHED for writer in WRITERS]
    every += [(name, writer) for name in ("hh", "reward_bench", "code") for writer in OF_TEXTS]
    return [pytest.param(name, writer, id=f"{name}-{writer.__name__}") for name, writer in every]


@pytest.mark.parametrize(("name", "writer"), cases())
def test_every_set_loads_from_every_file(
    name: str, writer: Callable[[Rows, Path], Path], tmp_path: Path
) -> None:
    found = read_pairs(writer(PUBLISHED[name], tmp_path))
    assert (found.rows, found.excluded, found.skipped) == (2, 0, ())
    assert [pair.row for pair in found.pairs] == [0, 1]
    CHECKS[name](found.pairs)


def check_hh(pairs: tuple[Pair, ...]) -> None:
    prompt = (human("What {are} you?"), said('A "model"'), human("So?"))
    assert [pair.turns for pair in pairs] == [prompt] * 2
    assert [pair.examples for pair in pairs] == [
        (" Yes.\n\nReally",),
        (" I said {{so}}: Human: a",),
    ]
    assert pairs[0].counter_examples == (" No.",)
    assert len({pair.id for pair in pairs}) == 2
    assert len(pairs[0].id) == 12


def check_ultrafeedback(pairs: tuple[Pair, ...]) -> None:
    assert pairs[1].turns == (human("Write 1"),)
    assert (pairs[1].examples, pairs[1].counter_examples) == ((" Done 🙂",), (" No",))
    assert pairs[1].columns["score_chosen"] == 8.5
    assert "messages" not in pairs[1].columns


def check_rm_bench(pairs: tuple[Pair, ...]) -> None:
    assert pairs[0].id == "chat/0 \u202e<b>"
    assert pairs[0].examples == (" Short", " Plain and long", " # Long\n* and marked up")
    assert len(pairs[0].counter_examples) == 3
    assert pairs[0].columns["domain"] == "chat"


def check_reward_bench(pairs: tuple[Pair, ...]) -> None:
    assert [pair.id for pair in pairs] == ["0", "1"]
    assert (pairs[0].turns, pairs[0].examples) == ((human("Who is 0?"),), (" A\n",))
    assert pairs[0].counter_examples == (" B",)  # white space of its own, kept
    assert pairs[0].columns["subset"] == "alpacaeval-easy"


def check_code(pairs: tuple[Pair, ...]) -> None:
    assert len(LONG.encode()) > 30_000
    assert pairs[1].turns == (human(f"{LONG}1"),)
    assert (pairs[1].examples, pairs[1].counter_examples) == ((f" {LONG}!",), (f" {LONG}?",))


CHECKS: dict[str, Callable[[tuple[Pair, ...]], None]] = {
    "hh": check_hh,
    "ultrafeedback": check_ultrafeedback,
    "rm_bench": check_rm_bench,
    "reward_bench": check_reward_bench,
    "code": check_code,
}


def test_a_split_is_chosen_by_its_folder(tmp_path: Path) -> None:
    both = datasets.DatasetDict(train=by_datasets(REWARD_BENCH), test=by_datasets(RM_BENCH))
    both.save_to_disk(tmp_path / "both")
    with pytest.raises(InvalidSpec) as refused:
        read_pairs(tmp_path / "both")
    assert "several splits (test, train); name the folder of one of them" in str(refused.value)
    assert len(read_pairs(tmp_path / "both" / "test").pairs) == 2


def test_rows_that_datasets_reordered_come_in_its_order(tmp_path: Path) -> None:
    by_datasets(REWARD_BENCH).select([1, 0]).save_to_disk(tmp_path / "set")
    assert [pair.id for pair in read_pairs(tmp_path / "set").pairs] == ["1", "0"]
