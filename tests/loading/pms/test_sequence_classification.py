from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import preflight, require

FAMILIES = [
    *("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"),
    *("gpt_neox", "gptj", "gpt2", "opt", "phi"),
]
PROMPT = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)
COMPLETIONS = [
    " Paris.",
    " I don't know.",
    " It is Paris, as any atlas would tell you.",
    " No!",
] * 2


@pytest.mark.parametrize("kind", FAMILIES)
def test_rewards_equal_transformers_own_forward(
    kind: str, save_classifier: Callable[..., Path]
) -> None:
    folder = save_classifier(kind)
    model = load(folder, text_format="hh")
    rows = [model.text_format.tokenise(PROMPT, completion).token_ids for completion in COMPLETIONS]
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = torch.cat([reference(torch.tensor([row])).logits[:, 0] for row in rows])
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(model, rows, batch_size=batch_size, padding=padding)
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 1e-3
    require(preflight(model), name=kind)


def padded_with(folder: Path, token: str, **changes: Any) -> Path:
    """Let a token of the texts be the one that the model takes for padding."""
    config = json.loads((folder / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pad = tokenizer.convert_tokens_to_ids(token)
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": pad} | changes))
    tokenizer.pad_token = token
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", FAMILIES)
def test_padding_that_ends_a_text_is_not_read(
    kind: str, save_classifier: Callable[..., Path]
) -> None:
    folder = padded_with(save_classifier(kind), "<|end|>")
    model = load(folder, text_format="oasst", text_end="<|end|>")
    texts = [model.text_format.tokenise(PROMPT, completion) for completion in COMPLETIONS]
    rows = [text.token_ids for text in texts]
    assert {row[-1] for row in rows} == {model.tokenizer.pad_token_id}
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = torch.cat([reference(torch.tensor([row])).logits[:, 0] for row in rows])
        at_the_end = reference.base_model(torch.tensor([rows[0]])).last_hidden_state[0, -1]
    assert abs(float(model.head(at_the_end[None])) - float(expected[0])) > 1e-3
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(model, rows, batch_size=batch_size, padding=padding)
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    grid = Grid(tuple(Row(0, text.token_ids, text.completion_start) for text in texts))
    engine = torch.from_numpy(trace(model, (), grid).rewards).float()
    torch.testing.assert_close(engine, expected, atol=1e-5, rtol=1e-5)
    require(preflight(model), name=kind)


def test_padding_within_a_text_and_alone_is_read_as_transformers_reads_it(
    save_classifier: Callable[..., Path],
) -> None:
    folder = padded_with(save_classifier("llama"), "<|end|>")
    model = load(folder, text_format="raw")
    pad = model.tokenizer.pad_token_id
    rows = [[9, pad, 12, pad], [9, pad, pad, 12], [pad, pad], [pad], [9, 12, 31]]
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = torch.cat([reference(torch.tensor([row])).logits[:, 0] for row in rows])
    torch.testing.assert_close(plain_rewards(model, rows), expected, atol=1e-5, rtol=1e-5)
    grid = Grid(tuple(Row(0, tuple(row), min(1, len(row))) for row in rows))
    engine = torch.from_numpy(trace(model, (), grid).rewards).float()
    torch.testing.assert_close(engine, expected, atol=1e-5, rtol=1e-5)


def test_padding_beyond_the_embedding_is_never_looked_up(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<spare {number}>" for number in range(30)])
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    model = load(folder, text_format="hh")
    assert model.tokenizer.pad_token_id >= model.decoder.backbone.config.vocab_size
    require(preflight(model), name="llama")


def test_a_model_without_padding_reads_its_last_token(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    model = load(folder, text_format="hh")
    assert model.padding_id is None
    require(preflight(model), name="llama")


ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]


def describe(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(kept))


def by_transformers(folder: Path, **options: Any) -> torch.Tensor:
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, **options
    )
    with torch.inference_mode():
        return torch.cat([model.eval()(torch.tensor([row])).logits[:, 0] for row in ROWS])


@pytest.mark.parametrize("named", [["LlamaForCausalLM"], ["LlamaModel"], None, [], "absent"])
def test_a_score_in_the_file_is_read_whatever_headless_class_is_named(
    save_classifier: Callable[..., Path], named: Any
) -> None:
    folder = save_classifier("llama")
    describe(folder, architectures=named)
    model = load(folder, text_format="hh")
    torch.testing.assert_close(
        plain_rewards(model, ROWS), by_transformers(folder), atol=1e-5, rtol=1e-5
    )
    assert "read as LlamaForSequenceClassification" in model.notes[0]


@pytest.mark.parametrize("named", ["LlamaForRewardModel", "OurForSequenceClassification"])
def test_a_score_of_an_unknown_class_is_refused_with_a_remedy_that_works(
    save_classifier: Callable[..., Path], named: str
) -> None:
    folder = save_classifier("llama")
    describe(folder, architectures=[named])
    with pytest.raises(ModelError, match=r"own class in `architectures`, such as LlamaForSeq"):
        load(folder, text_format="hh")
    describe(folder, architectures=["LlamaForSequenceClassification"])
    assert load(folder, text_format="hh").notes == ()


def test_labels_that_the_config_leaves_out_are_those_of_the_head(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    expected = by_transformers(folder)
    describe(folder, id2label="absent", label2id="absent", num_labels="absent")
    ours = plain_rewards(load(folder, text_format="hh"), ROWS)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_labels_that_contradict_the_head_are_refused_with_a_remedy_that_works(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    describe(folder, num_labels=3, id2label="absent", label2id="absent")
    with pytest.raises(ModelError, match=r"says 3 labels .* has 1 rows; set num_labels to 1"):
        load(folder, text_format="hh")
    describe(folder, num_labels=1)
    assert load(folder, text_format="hh").depth == 3


def test_a_bias_that_transformers_drops_is_refused(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    held = dict(load_file(folder / "model.safetensors"))
    path = folder / "model.safetensors"
    save_file(held | {"score.bias": torch.ones(1)}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"remove score\.bias from the file"):
        load(folder, text_format="hh")
    save_file(held, path, metadata={"format": "pt"})
    assert load(folder, text_format="hh").depth == 3


def test_code_that_is_not_run_is_told(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    describe(folder, auto_map={"AutoModelForSequenceClassification": "own.LlamaForSomething"})
    assert "names code of its own (auto_map), which is not run" in load(folder).notes[0]
