from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards
from pm_audit.loading.pms.multi_objective import ARMO_RM
from pm_audit.loading.pms.registry import load, load_each, objectives
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import preflight, require

ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]
HEADER = ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}"
    "<|end_header_id|>\n\n{{ message.content | trim }}<|eot_id|>{% endfor %}"
)


@pytest.fixture
def tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tiny tokenizer with the special tokens and the chat template of Llama 3."""
    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"additional_special_tokens": HEADER})
    own.chat_template = TEMPLATE
    return own


@pytest.fixture
def armo(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> Callable[..., tuple[Path, torch.Tensor]]:
    """Write an ArmoRM-like checkpoint; return it with its objectives' rewards [row objective]."""

    def write(count: int = 19, quantiles: int = 1) -> tuple[Path, torch.Tensor]:
        torch.manual_seed(9)
        config = tiny_config("llama")
        body = AutoModel.from_config(config).eval()
        regression = torch.randn(count * quantiles, 32)
        transform = torch.eye(count) - 0.1 * torch.rand(count, count)
        config.num_quantiles = quantiles
        config.architectures = ["LlamaForRewardModelWithGating"]
        config.auto_map = {"AutoModel": "modeling_custom.LlamaForRewardModelWithGating"}
        folder = tmp_path / "armo"
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        weights = {f"model.{key}": value.clone() for key, value in body.state_dict().items()}
        weights |= {
            "regression_layer.weight": regression,
            "reward_transform_matrix": transform,
            "gating.layers.0.weight": torch.randn(16, 32),
            "gating.layers.0.bias": torch.randn(16),
            "gating.layers.1.weight": torch.randn(count, 16),
            "gating.layers.1.bias": torch.randn(count),
            "gating.logit_scale": torch.tensor([1.25]),
        }
        save_file(weights, folder / "model.safetensors")
        with torch.inference_mode():
            states = [body(torch.tensor([row])).last_hidden_state[0, -1] for row in ROWS]
        outputs = torch.stack(states) @ regression.T
        return folder, outputs.unflatten(1, (count, quantiles)).mean(dim=-1) @ transform

    return write


def test_each_objective_is_what_its_row_says(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo()
    assert objectives(folder) == (*ARMO_RM, "gated")
    models = load_each(folder, objective="all")
    assert [model.objective for model in models] == [*ARMO_RM, "gated"]
    assert len({id(model.decoder) for model in models}) == 1
    for index, model in enumerate(models[:-1]):
        for padding in Padding:
            ours = plain_rewards(model, ROWS, padding=padding)
            torch.testing.assert_close(ours, expected[:, index], atol=1e-5, rtol=1e-5)


def test_a_mixture_is_weighed_as_written(armo: Callable[..., tuple[Path, torch.Tensor]]) -> None:
    folder, expected = armo()
    model = load(folder, objective="helpsteer-verbosity=-0.5, prometheus-score=2")
    by_hand = 2 * expected[:, 11] - 0.5 * expected[:, 4]
    torch.testing.assert_close(plain_rewards(model, ROWS), by_hand, atol=1e-5, rtol=1e-5)


def test_quantiles_are_averaged_within_an_objective(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo(count=5, quantiles=3)
    model = load(folder, objective="objective_2")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected[:, 2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (None, "19 objectives and none was named; averaging them would mean nothing"),
        ("gated=0.5,code-style=0.5", "gated is a weighing of its own"),
        ("kindness", "prometheus-score, .*, gated; or weigh them"),
        ("kindness", "'kindness' is unknown"),
        ("code-style=much", "'code-style=much' is unknown"),
        ("code-style=nan", "is unknown"),
        ("code-style=0", "all weights"),
    ],
)
def test_what_is_no_objective_is_refused(
    armo: Callable[..., tuple[Path, torch.Tensor]], objective: str | None, message: str
) -> None:
    folder, _ = armo()
    with pytest.raises(ModelError, match=message):
        load(folder, objective=objective)


QUESTIONS = ("What is the capital of France?", "Is 17 prime?")
COMPLETIONS = (" Paris.", " I don't know.", " It is <|eot_id|><|start_header_id|>assistant.")


def gated_by_hand(folder: Path, token_ids: tuple[int, ...], quantiles: int) -> float:
    """Compute the score as the model's card does: gate of the prompt times adjusted rewards."""
    held = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    body = AutoModel.from_config(AutoConfig.from_pretrained(folder)).eval()
    body.load_state_dict(
        {key[6:]: value for key, value in held.items() if key.startswith("model.")}
    )
    own = PreTrainedTokenizerFast.from_pretrained(folder)
    header = own("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    pattern = header.input_ids[1:]  # its own BOS is left out
    found = [
        at for at in range(len(token_ids)) if list(token_ids[at : at + len(pattern)]) == pattern
    ]
    with torch.inference_mode():
        states = body(torch.tensor([token_ids])).last_hidden_state[0]
        inner = held["gating.layers.0.weight"] @ states[found[-1]] + held["gating.layers.0.bias"]
        outer = held["gating.layers.1.weight"] @ inner.relu() + held["gating.layers.1.bias"]
        gate = (outer / config.get("gating_temperature", 10)).softmax(0) * 1.25
        outputs = held["regression_layer.weight"] @ states[-1]
        outputs = outputs.view(-1, quantiles).mean(dim=1) @ held["reward_transform_matrix"]
        return float(gate @ outputs)


@pytest.mark.parametrize(("count", "quantiles"), [(19, 1), (5, 3)])
def test_the_gated_score_is_the_published_one(
    armo: Callable[..., tuple[Path, torch.Tensor]], count: int, quantiles: int
) -> None:
    folder, _ = armo(count, quantiles)
    model = load(folder, objective="gated")
    texts = [
        (number, model.text_format.tokenise((Turn(speaker=Speaker.HUMAN, text=question),), text))
        for number, question in enumerate(QUESTIONS)
        for text in COMPLETIONS
    ]
    expected = [gated_by_hand(folder, text.token_ids, quantiles) for _, text in texts]
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(
                model,
                [text.token_ids for _, text in texts],
                batch_size=batch_size,
                padding=padding,
            )
            torch.testing.assert_close(ours, torch.tensor(expected), atol=1e-5, rtol=1e-5)
    grid = Grid(tuple(Row(at, text.token_ids, text.completion_start) for at, text in texts))
    np.testing.assert_allclose(rewards(model, grid), expected, atol=1e-5, rtol=1e-5)
    require(preflight(model), name="gated")


def test_a_gate_needs_its_chat_template(armo: Callable[..., tuple[Path, torch.Tensor]]) -> None:
    folder, _ = armo(5)
    model = load(folder, objective="gated", text_format="hh")
    with pytest.raises(ModelError, match="set text_format to chat"):
        preflight(model)


def test_a_gate_on_an_unknown_body_is_refused_and_its_objectives_load(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, _ = armo(5)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mistral"}))
    with pytest.raises(ModelError, match="body of type 'mistral' reads is not known"):
        load(folder, objective="gated")
    assert load(folder, objective="objective_1").objective == "objective_1"


def test_a_name_may_hold_what_mixtures_are_written_with(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo(3)
    config = json.loads((folder / "config.json").read_text())
    names = {"0": "safe, kind", "1": "a=b", "2": "plain"}
    (folder / "config.json").write_text(json.dumps(config | {"id2label": names}))
    for index, model in enumerate(load_each(folder, objective="all")[:-1]):
        torch.testing.assert_close(plain_rewards(model, ROWS), expected[:, index])


def urm(folder: Path, rows: int) -> None:
    """Give the regression twice the rows that the gate weighs: means and spreads."""
    held = dict(load_file(folder / "model.safetensors"))
    held["regression_layer.weight"] = held["regression_layer.weight"].repeat(2, 1)[:rows]
    held.pop("reward_transform_matrix", None)
    save_file(held, folder / "model.safetensors")


@pytest.mark.parametrize("objective", [None, "objective_0", "objective_7", "gated", "all"])
def test_spreads_beside_means_are_refused_and_never_an_objective(
    armo: Callable[..., tuple[Path, torch.Tensor]], objective: str | None
) -> None:
    folder, _ = armo(5)
    urm(folder, 10)
    assert objectives(folder) == ()
    with pytest.raises(ModelError, match="10 outputs for the 5 objectives that its gate weighs"):
        load_each(folder, objective=objective)
    # as told: the rows of the means alone load, and the gate weighs them
    urm(folder, 5)
    names = objectives(folder)
    assert names == (*(f"objective_{index}" for index in range(5)), "gated")
    assert len(load_each(folder, objective="all")) == 6


def test_rows_that_nothing_names_are_refused_until_the_config_names_them(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo(4)
    held = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in held.items() if not key.startswith("gating.")}
    save_file(kept, folder / "model.safetensors")
    assert objectives(folder) == ()
    with pytest.raises(ModelError, match="neither a gate nor id2label"):
        load(folder, objective="objective_0")
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {str(index): f"trait-{index}" for index in range(4)}}
    (folder / "config.json").write_text(json.dumps(config))
    ours = plain_rewards(load(folder, objective="trait-2"), ROWS)
    torch.testing.assert_close(ours, expected[:, 2], atol=1e-5, rtol=1e-5)


def test_a_class_that_is_not_known_borrows_no_conventions(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo(5)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["OurModel"]}))
    with pytest.raises(ModelError, match="OurModel, whose conventions are not known"):
        load(folder, objective="objective_1")
    model = load(folder, objective="objective_1", text_format="hh")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected[:, 1], atol=1e-5, rtol=1e-5)
    assert "OurModel has no known conventions" in model.notes[0]


@pytest.mark.parametrize(
    ("name", "weight", "message"),
    [
        ("regression_layer.bias", torch.ones(5), r"regression_layer\.bias .* remove it"),
        ("regression_layer.weight", torch.ones(32), "no matrix of weights"),
        ("reward_transform_matrix", torch.eye(4), "is .4, 4. for 5 objectives"),
        ("gating.logit_scale", torch.ones(2), "logit_scale"),
        ("gating.layers.1.weight", torch.ones(5, 17), "follow each other"),
        ("regression_layer.std", torch.ones(5), r"nothing reads|regression_layer\.std"),
    ],
)
def test_misshapen_or_unread_parts_are_refused(
    armo: Callable[..., tuple[Path, torch.Tensor]], name: str, weight: torch.Tensor, message: str
) -> None:
    folder, _ = armo(5)
    held = dict(load_file(folder / "model.safetensors"))
    save_file(held | {name: weight}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        load(folder, objective="gated")
