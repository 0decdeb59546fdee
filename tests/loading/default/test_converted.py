"""The converted base: made once, read back the same, made anew when anything about it changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from pm_audit.files import sha256
from pm_audit.loading.default import converted
from pm_audit.loading.default.converted import Base, load_converted
from pm_audit.loading.wheels import scratch_folder

DEPTH = 2
BLOCKS = f"{DEPTH}-blocks"


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "base.Q4_1.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def calls() -> list[None]:
    return []


@pytest.fixture
def convert(calls: list[None]) -> Callable[[], Base]:
    """Stand in for the reader of GGUF files."""

    def made() -> Base:
        calls.append(None)
        config = LlamaConfig(
            vocab_size=8,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=DEPTH,
            num_attention_heads=2,
        )
        rules = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=rules, unk_token="?")
        return LlamaModel(config).eval(), tokenizer

    return made


def test_the_base_is_converted_once_and_read_back_the_same(gguf, convert, calls) -> None:
    first, first_tokenizer = load_converted(gguf, BLOCKS, convert)
    second, second_tokenizer = load_converted(gguf, BLOCKS, convert)
    assert len(calls) == 1
    weights, again = first.state_dict(), second.state_dict()
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    token_ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        hidden = [model(token_ids).last_hidden_state for model in (first, second)]
    assert torch.equal(*hidden)
    tables = [one.backend_tokenizer.to_str() for one in (first_tokenizer, second_tokenizer)]
    assert tables[0] == tables[1]


def test_changing_the_loaded_weights_leaves_the_copy_alone(gguf, convert) -> None:
    load_converted(gguf, BLOCKS, convert)
    stored = gguf.with_name(f"base.Q4_1.{DEPTH}-blocks") / "model.safetensors"
    before = sha256([stored])
    model, _ = load_converted(gguf, BLOCKS, convert)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    assert sha256([stored]) == before


def test_a_torn_copy_another_source_and_another_transformers_are_converted_anew(
    gguf, convert, calls, monkeypatch
) -> None:
    load_converted(gguf, BLOCKS, convert)
    stored = gguf.with_name(f"base.Q4_1.{DEPTH}-blocks") / "model.safetensors"
    stored.write_bytes(stored.read_bytes()[:-4])
    load_converted(gguf, BLOCKS, convert)
    assert len(calls) == 2
    gguf.write_bytes(b"other weights")
    load_converted(gguf, BLOCKS, convert)
    assert len(calls) == 3
    monkeypatch.setattr(converted.transformers, "__version__", "0.0")
    load_converted(gguf, BLOCKS, convert)
    load_converted(gguf, BLOCKS, convert)
    assert len(calls) == 4
    load_converted(gguf, f"{DEPTH + 1}-blocks", convert)
    assert len(calls) == 5


def test_a_disk_that_takes_nothing_does_not_stop_the_audit(
    gguf, convert, calls, monkeypatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(converted, "save_file", full)
    for _ in range(2):
        model, _ = load_converted(gguf, BLOCKS, convert)
        assert len(model.layers) == DEPTH
    assert len(calls) == 2
    assert not gguf.with_name(f"base.Q4_1.{DEPTH}-blocks").exists()


def test_a_whole_copy_is_read_without_a_lock(gguf, convert, calls, monkeypatch) -> None:
    load_converted(gguf, BLOCKS, convert)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(converted, "FileLock", refuse)
    load_converted(gguf, BLOCKS, convert)
    assert len(calls) == 1
    # without a copy, and without a place to keep one, the audit goes on
    model, _ = load_converted(gguf, f"{DEPTH + 1}-blocks", convert)
    assert len(model.layers) == DEPTH
    assert len(calls) == 2


def test_what_a_killed_conversion_left_is_removed_by_the_next(gguf, convert) -> None:
    with scratch_folder(gguf.with_name(f"base.Q4_1.{DEPTH}-blocks")) as left:
        name = left.name
    (gguf.parent / name).mkdir()
    (gguf.parent / name / "model.safetensors").write_bytes(b"torn")
    load_converted(gguf, BLOCKS, convert)
    assert not (gguf.parent / name).exists()
