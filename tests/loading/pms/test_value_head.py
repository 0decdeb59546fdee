from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, PreTrainedTokenizerFast

from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import preflight, require

LIBRARY = Path(__file__).parent / "library"
LENGTHS = (5, 17, 9, 30, 12, 7, 23, 14)
FORMATS = {"ultra": "ultra", "oasst": "oasst", "beaver_reward": "beaver", "beaver_cost": "beaver"}


@pytest.fixture
def written(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Callable[[str], Path]:
    """Copy what a library wrote and put our tokenizer beside it."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(LIBRARY / name, folder)
        (folder / "expected.safetensors").unlink()
        tokenizer.save_pretrained(folder)
        return folder

    return copy


@pytest.mark.parametrize("name", sorted(path.name for path in LIBRARY.iterdir()))
def test_rewards_equal_the_librarys(name: str, written: Callable[[str], Path]) -> None:
    held = load_file(LIBRARY / name / "expected.safetensors")
    rows = [row.tolist() for row in held["tokens"].split(LENGTHS)]
    # a cost is turned round, so that more is better
    expected = -held["rewards"] if name == "beaver_cost" else held["rewards"]
    model = load(written(name))
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(model, rows, batch_size=batch_size, padding=padding)
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 1e-3
    assert model.text_format.name == FORMATS.get(name, "chat")
    require(preflight(model), name=name)


def change(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.fixture
def headed(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> Callable[..., tuple[Path, Any]]:
    """Write a body of transformers under ``model.`` with further weights; return it too."""

    def write(kind: str, weights: dict[str, torch.Tensor], **described: Any) -> tuple[Path, Any]:
        torch.manual_seed(6)
        config = tiny_config(kind)
        body = AutoModel.from_config(config)
        folder = tmp_path / "headed"
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        tensors = {f"model.{key}": value.clone() for key, value in body.state_dict().items()}
        save_file(tensors | weights, folder / "model.safetensors")
        change(folder, **described)
        return folder, body.eval()

    return write


ROW = [1, 40, 50, 60, 70]


def last_state(body: Any, row: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return body(torch.tensor([row])).last_hidden_state[0, -1]


@pytest.mark.parametrize("prefix", ["value_head", "score"])
@pytest.mark.parametrize("normalised", ["raw", "normalised"])
def test_openrlhf_names_its_head_in_the_config(
    headed: Callable[..., tuple[Path, Any]], prefix: str, normalised: str
) -> None:
    weight = torch.randn(1, 32)
    stored = {"mean": torch.tensor([0.5]), "std": torch.tensor([2.0])}
    folder, body = headed(
        "llama",
        {f"{prefix}.weight": weight, **stored},
        value_head_prefix=prefix,
        normalize_reward=normalised == "normalised",
        architectures=["LlamaForSequenceClassification"],
    )
    expected = weight @ last_state(body, ROW)
    expected = (expected - 0.5) / 2.0 if normalised == "normalised" else expected
    torch.testing.assert_close(plain_rewards(load(folder), [ROW]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "named"), [("gpt_neox", "GPTNeoXForCausalLM"), ("gpt2", "GPT2LMHeadModel")]
)
def test_trl_value_heads_are_read_at_the_last_token(
    headed: Callable[..., tuple[Path, Any]], kind: str, named: str
) -> None:
    head = {"v_head.summary.weight": torch.randn(1, 32), "v_head.summary.bias": torch.ones(1)}
    # what the wrapper and old versions of transformers save beside them
    beside = {
        "lm_head.weight": torch.ones(4, 32),
        "model.h.0.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8),
        "model.h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    folder, body = headed(kind, head | beside, architectures=[named])
    expected = head["v_head.summary.weight"] @ last_state(body, ROW) + 1
    torch.testing.assert_close(plain_rewards(load(folder), [ROW]), expected, atol=1e-5, rtol=1e-5)


def test_a_mean_is_taken_over_the_rows_own_tokens(
    headed: Callable[..., tuple[Path, Any]],
) -> None:
    head = {"out_proj.weight": torch.randn(1, 32), "out_proj.bias": torch.ones(1)}
    folder, body = headed("gpt_neox", head, pooling="mean", architectures=["GPTNeoXRewardModel"])
    rows = [ROW, ROW[:2], [*ROW, 31, 32, 33]]
    expected = []
    for row in rows:
        with torch.inference_mode():
            states = body(torch.tensor([row])).last_hidden_state[0]
        expected.append(head["out_proj.weight"] @ states.mean(dim=0) + 1)
    model = load(folder)
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(model, rows, batch_size=batch_size, padding=padding)
            torch.testing.assert_close(ours, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_a_reward_token_is_appended(headed: Callable[..., tuple[Path, Any]]) -> None:
    folder, _ = headed("llama", {"v_head.weight": torch.randn(1, 32)}, reward_token_id=77)
    from pm_audit.data.dialogue import Speaker, Turn

    turns = (Turn(speaker=Speaker.HUMAN, text="Hi"),)
    row = load(folder, text_format="hh").text_format.tokenise(turns, " Hello.")
    assert row.token_ids[-1] == 77
    assert row.token_ids.count(77) == 1


@pytest.mark.parametrize(
    ("weights", "described", "message"),
    [
        (
            {"out_proj.weight": torch.ones(1, 32)},
            {"pooling": "max"},
            "pooling is 'max', expected last or mean",
        ),
        (
            {f"out_proj.{n}.weight": torch.ones(o, 32) for n, o in ((0, 32), (2, 1))},
            {"pooling": "mean"},
            "mean over tokens is read by a head of several layers",
        ),
        ({"v_head.weight": torch.ones(3, 32)}, {}, "has 3 outputs"),
        ({"v_head.gate": torch.ones(1, 32)}, {}, "neither one linear layer"),
        ({"v_head.weight": torch.full((1, 32), float("nan"))}, {}, "head holds NaN"),
        (
            {"value_head.weight": torch.ones(1, 32)},
            {"value_head_prefix": "value_head", "normalize_reward": True},
            "no single mean",
        ),
        ({"v_head.weight": torch.ones(1, 32)}, {"model_type": "internlm2"}, "remote code stays"),
        ({"v_head.weight": torch.ones(1, 32)}, {"num_hidden_layers": 9}, "lacks layers.3"),
        ({"v_head.weight": torch.ones(1, 32)}, {"vocab_size": 999}, "embed_tokens|do not fit"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    headed: Callable[..., tuple[Path, Any]],
    weights: dict[str, torch.Tensor],
    described: dict[str, Any],
    message: str,
) -> None:
    folder, _ = headed("llama", weights, **described)
    with pytest.raises(ModelError, match=message):
        load(folder, text_format="hh")


def test_one_head_has_no_objectives(headed: Callable[..., tuple[Path, Any]]) -> None:
    folder, _ = headed("llama", {"v_head.weight": torch.ones(1, 32)})
    with pytest.raises(ModelError, match="this PM has only one"):
        load(folder, objective="helpfulness")


HEADS = ("v_head", "v_head.summary", "regression_head", "out_proj", "score_head", "value_head")


@pytest.mark.parametrize("name", HEADS)
def test_a_class_that_is_not_known_borrows_no_conventions(
    headed: Callable[..., tuple[Path, Any]], name: str
) -> None:
    weight = torch.randn(1, 32)
    folder, body = headed("llama", {f"{name}.weight": weight}, architectures=["OurRewardModel"])
    with pytest.raises(ModelError, match=r"OurRewardModel, whose .* set text_format to .*hh, raw"):
        load(folder)
    # as told: with the format it loads, is read at the last token, and says that this was taken
    model = load(folder, text_format="raw")
    expected = weight @ last_state(body, ROW)
    torch.testing.assert_close(plain_rewards(model, [ROW]), expected, atol=1e-5, rtol=1e-5)
    assert "OurRewardModel has no known conventions: text_format raw" in model.notes[0]


@pytest.mark.parametrize(
    ("architecture", "format_taken"),
    [("LlamaRewardModel", "ultra"), ("EurusRewardModel", "chat")],
)
def test_a_regression_head_is_read_as_its_class_was_trained(
    headed: Callable[..., tuple[Path, Any]], architecture: str, format_taken: str
) -> None:
    weight = {"regression_head.weight": torch.randn(1, 32)}
    folder, _ = headed("llama", weight, architectures=[architecture])
    assert load(folder).text_format.name == format_taken


def test_athene_is_read_at_the_token_that_its_pipeline_appends(
    headed: Callable[..., tuple[Path, Any]], tokenizer: PreTrainedTokenizerFast
) -> None:
    from pm_audit.data.dialogue import Speaker, Turn

    weight = torch.randn(1, 32)
    folder, body = headed(
        "llama", {"v_head.weight": weight}, architectures=["AtheneForSequenceClassification"]
    )
    with pytest.raises(ModelError, match="appends as the tokenizer's cls_token"):
        load(folder)
    own = PreTrainedTokenizerFast.from_pretrained(folder)
    own.add_special_tokens({"cls_token": "<|system|>"})
    own.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"this tokenizer's is '<\|system\|>'"):
        load(folder)
    own.add_special_tokens({"cls_token": "<|reserved_special_token_1|>"})
    own.save_pretrained(folder)
    model = load(folder)
    turns = (Turn(speaker=Speaker.HUMAN, text="Hi"),)
    row = model.text_format.tokenise(turns, " Hello.").token_ids
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    text = own.apply_chat_template(messages, tokenize=False) + own.cls_token
    assert list(row) == own(text, add_special_tokens=False).input_ids
    expected = weight @ last_state(body, list(row))
    torch.testing.assert_close(plain_rewards(model, [row]), expected, atol=1e-5, rtol=1e-5)


def test_heads_of_two_names_are_refused(headed: Callable[..., tuple[Path, Any]]) -> None:
    weights = {name: torch.ones(1, 32) for name in ("v_head.weight", "out_proj.weight")}
    folder, _ = headed("llama", weights)
    with pytest.raises(ModelError, match=r"heads of several names, out_proj\., v_head\."):
        load(folder, text_format="hh")


@pytest.mark.parametrize(
    ("family", "objective"),
    [("v_head.weight", None), ("regression_layer.weight", "objective_0")],
)
@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_heads_and_bodies_are_refused(
    headed: Callable[..., tuple[Path, Any]],
    family: str,
    objective: str | None,
    dtype: torch.dtype,
) -> None:
    weight = torch.randn(1, 32)
    folder, _ = headed("llama", {family: (weight * 50).to(dtype)})
    with pytest.raises(ModelError, match=f"quantised or not plain floats: {family}"):
        load(folder, text_format="hh", objective=objective)
    name = "model.layers.0.mlp.up_proj.weight"
    folder, _ = headed("llama", {family: weight, name: torch.ones(64, 32).to(dtype)})
    with pytest.raises(ModelError, match=f"plain floats: {name}"):
        load(folder, text_format="hh", objective=objective)


def test_what_neither_head_nor_body_reads_is_refused(
    headed: Callable[..., tuple[Path, Any]],
) -> None:
    weights = {"v_head.weight": torch.ones(1, 32), "steering.vector": torch.ones(32)}
    folder, _ = headed("llama", weights)
    with pytest.raises(ModelError, match=r"nothing reads steering\.vector"):
        load(folder, text_format="hh")


@pytest.mark.parametrize(
    ("weights", "described", "message"),
    [
        ({"v_head.weight": torch.ones(32)}, {}, "have shapes"),
        ({"v_head.weight": torch.ones(1, 31)}, {}, "cannot run as config.json describes"),
        ({"v_head.weight": torch.ones(1, 32)}, {"reward_token_id": 10**9}, "reward_token_id"),
        ({"value_head.weight": torch.ones(1, 32)}, {"value_head_prefix": 3}, "value_head_prefix"),
        (
            {"score_head.weight": torch.ones(1, 32)},
            {"score_type": "joy"},
            "score_type is 'joy', expected reward or cost",
        ),
        (
            {"value_head.weight": torch.ones(1, 32), "mean": torch.ones(1), "std": torch.zeros(1)},
            {"value_head_prefix": "value_head", "normalize_reward": True},
            "std of rewards is 0",
        ),
        ({"v_head.weight": torch.ones(1, 32)}, {"architectures": 3}, "no class"),
    ],
)
def test_misshapen_heads_and_odd_settings_are_refused(
    headed: Callable[..., tuple[Path, Any]],
    weights: dict[str, torch.Tensor],
    described: dict[str, Any],
    message: str,
) -> None:
    folder, _ = headed("llama", weights, **described)
    with pytest.raises(ModelError, match=message):
        load(folder, text_format=None if "architectures" in described else "hh")
