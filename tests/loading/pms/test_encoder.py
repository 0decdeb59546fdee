from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.scale import measure_scale
from pm_audit.forward.trace import trace
from pm_audit.loading.pms.registry import load, load_each
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import preflight, require

KINDS: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "pooler_hidden_size": 32,
        "type_vocab_size": 0,
    },
    "bert": {"type_vocab_size": 2},
    "roberta": {"type_vocab_size": 1},
}
PROMPT = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)
_TYPES = "token_type_ids"
PAIRED = "<s> $A </s> $B:1 </s>:1"
COMPLETIONS = [
    " Paris.",
    " I don't know.",
    " It is Paris, as any atlas would tell you.",
    " No!",
] * 2


@pytest.fixture
def save_encoder(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Callable[..., Path]:
    def save(kind: str, labels: int = 1, pair: str = PAIRED, *, types: str = _TYPES) -> Path:
        torch.manual_seed(5)
        config = AutoConfig.for_model(
            kind,
            hidden_size=32,
            intermediate_size=64,
            num_attention_heads=4,
            num_hidden_layers=2,
            vocab_size=400,
            max_position_embeddings=128,
            num_labels=labels,
            pad_token_id=tokenizer.pad_token_id,
            **KINDS[kind],
        )
        model = AutoModelForSequenceClassification.from_config(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        folder = tmp_path / kind
        model.save_pretrained(folder)
        rules = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
        rules.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair=pair,
            special_tokens=[("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)],
        )
        PreTrainedTokenizerFast(
            tokenizer_object=rules,
            cls_token="<s>",
            sep_token="</s>",
            pad_token="<pad>",
            model_max_length=128,
            model_input_names=["input_ids", *types.split(), "attention_mask"],
        ).save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize("kind", KINDS)
def test_rewards_equal_transformers_own_forward(
    kind: str, save_encoder: Callable[..., Path], tokenizer: PreTrainedTokenizerFast
) -> None:
    folder = save_encoder(kind)
    model = load(folder)
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    rows = [model.text_format.tokenise(PROMPT, completion) for completion in COMPLETIONS]
    expected = []
    for completion in COMPLETIONS:
        # the tokenizer's own pair, segments included
        pair = model.tokenizer(
            PROMPT[0].text,
            completion.removeprefix(" "),
            return_tensors="pt",
        )
        if kind != "bert":
            pair.pop("token_type_ids")
        with torch.inference_mode():
            expected.append(reference(**pair).logits[0, 0])
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(
                model, [row.token_ids for row in rows], batch_size=batch_size, padding=padding
            )
            torch.testing.assert_close(ours, torch.stack(expected), atol=1e-5, rtol=1e-5)
    require(preflight(model), name=kind)
    text = rows[0].text
    held = [text[first:last] for first, last in rows[0].offsets[rows[0].completion_start :]]
    assert "".join(held) == "Paris."


def test_ablation_is_refused_by_name(save_encoder: Callable[..., Path]) -> None:
    model = load(save_encoder("bert"))
    assert (model.depth, model.hidden_size) == (2, 32)
    row = model.text_format.tokenise(PROMPT, " Paris.")
    grid = Grid((Row(0, row.token_ids, row.completion_start),))
    for ask in (lambda: trace(model, (), grid), lambda: measure_scale(model)):
        with pytest.raises(ModelError, match=r"BertModel is bidirectional: .* audit a causal"):
            ask()


def test_several_labels_are_several_objectives(save_encoder: Callable[..., Path]) -> None:
    folder = save_encoder("deberta-v2", labels=3)
    with pytest.raises(ModelError, match="3 objectives and none was named"):
        load(folder)
    models = load_each(folder, objective="all")
    row = models[0].text_format.tokenise(PROMPT, " Paris.").token_ids
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = reference(torch.tensor([row])).logits[0]
    ours = torch.cat([plain_rewards(model, [row]) for model in models])
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_positions_that_padding_takes_hold_no_tokens(save_encoder: Callable[..., Path]) -> None:
    """RoBERTa counts from its padding index plus one: 514 positions hold 512 tokens."""
    folder = save_encoder("roberta")
    model = load(folder)
    longest = 128 - model.tokenizer.pad_token_id - 1
    assert model.text_format.longest == longest
    row = model.text_format.tokenise(PROMPT, "\u0001")
    room = longest - len(row.token_ids) + 1
    full = model.text_format.tokenise(PROMPT, "\u0001" * room)
    assert len(full.token_ids) == longest
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = reference(torch.tensor([full.token_ids])).logits[:, 0]
    torch.testing.assert_close(plain_rewards(model, [full.token_ids]), expected)
    with pytest.raises(ModelError, match=f"longer than the {longest} that the PM reads"):
        model.text_format.tokenise(PROMPT, "\u0001" * (room + 1))


ROWS = [[0, 40, 50, 1], [0, 33, 1]]


@pytest.mark.parametrize("named", [["BertForMaskedLM"], ["BertModel"], None])
def test_a_classifier_in_the_file_is_read_whatever_headless_class_is_named(
    save_encoder: Callable[..., Path], named: Any
) -> None:
    folder = save_encoder("bert")
    expected = plain_rewards(load(folder), ROWS)
    config = json.loads((folder / "config.json").read_text()) | {"architectures": named}
    for key in ("id2label", "label2id"):
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config))
    model = load(folder)
    torch.testing.assert_close(plain_rewards(model, ROWS), expected)
    assert "read as BertForSequenceClassification" in model.notes[0]


@pytest.mark.parametrize("name", ["classifier.weight", "bert.pooler.dense.weight"])
def test_quantised_encoders_are_refused(save_encoder: Callable[..., Path], name: str) -> None:
    folder = save_encoder("bert")
    held = dict(load_file(folder / "model.safetensors"))
    held[name] = (held[name] * 50).to(torch.int8)
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"quantised or not plain floats: {name}"):
        load(folder)


@pytest.mark.parametrize(("kind", "longest"), [("roberta", 127 - 2), ("bert", 128)])
def test_no_row_is_longer_than_the_positions_that_are_left(
    save_encoder: Callable[..., Path], kind: str, longest: int
) -> None:
    folder = save_encoder(kind)
    model = load(folder)
    assert model.text_format.longest == longest
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    row = [0, *[40] * (longest - 2), 1]
    with torch.inference_mode():
        expected = reference.eval()(torch.tensor([row])).logits[:, 0]
        torch.testing.assert_close(plain_rewards(model, [row]), expected, atol=1e-5, rtol=1e-5)
        with pytest.raises((IndexError, RuntimeError)):
            reference(torch.tensor([[*row, 1]]))


@pytest.mark.parametrize(
    ("pair", "types"), [(PAIRED, ""), ("<s> $A </s> </s> $B </s>", _TYPES), (PAIRED, _TYPES)]
)
def test_token_types_are_those_that_the_tokenizer_gives(
    save_encoder: Callable[..., Path], pair: str, types: str
) -> None:
    folder = save_encoder("bert", pair=pair, types=types)
    model = load(folder)
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    rows = [model.text_format.tokenise(PROMPT, text).token_ids for text in COMPLETIONS]
    given = [
        model.tokenizer(PROMPT[0].text, text.removeprefix(" "), return_tensors="pt")
        for text in COMPLETIONS
    ]
    with torch.inference_mode():
        expected = torch.stack([reference(**one).logits[0, 0] for one in given])
    torch.testing.assert_close(plain_rewards(model, rows), expected, atol=1e-5, rtol=1e-5)
    require(preflight(model), name="bert")
    assert any("token types" in note for note in model.notes) == (not types)


def test_token_types_of_another_kind_are_refused(save_encoder: Callable[..., Path]) -> None:
    folder = save_encoder("bert", pair="<s> $A:1 </s>:1 $B </s>")
    with pytest.raises(ModelError, match="expected 0 up to its first sep_token and 1 after it"):
        load(folder)
