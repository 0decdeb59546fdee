from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load


def write(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"lm_head.weight": torch.zeros(1)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architectures": ["DebertaV2PairRM"]}, "pairwise rankers are refused: it compares two"),
        (
            {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
            "T5 preference models are refused",
        ),
        (
            {"architectures": ["LlamaForCausalLM"]},
            "DPO implicit rewards, generative judges.* are refused: .* name an adapter",
        ),
        ({"architectures": ["GPT2LMHeadModel"]}, "language models without a reward head"),
        ({"architectures": ["LlamaModel"]}, "language models without a reward head"),
        (
            {"architectures": ["Qwen2VLForSequenceClassification"], "vision_config": {}},
            "vision-language reward models are refused",
        ),
        (
            {"architectures": ["Qwen2ForTokenClassification"]},
            "process reward models are refused",
        ),
        ({"architectures": ["Invented"]}, "Invented in config.json belongs to no known family"),
        ({}, "names no class .* fetch the model's own"),
    ],
)
def test_each_kind_is_refused_with_its_own_reason(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load(write(tmp_path / "pm", config))


def test_a_bare_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "base.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="without a reward head; give the adapter"):
        load(path)


def test_a_ranker_is_told_by_its_configuration(tmp_path: Path) -> None:
    folder = write(tmp_path / "pm", {"model_type": "deberta-v2"})
    (folder / "ranker_config.json").write_text("{}")
    with pytest.raises(ModelError, match="pairwise rankers"):
        load(folder)


def test_a_missing_head_is_an_error(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("score.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks score\.weight, which would be random"):
        load(folder, text_format="hh")


def test_a_head_of_another_shape_is_an_error(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 444}))
    with pytest.raises(ModelError, match=r"cannot load it|lacks"):
        load(folder, text_format="hh")


def test_nan_weights_are_an_error(save_classifier: Callable[..., Path]) -> None:
    from safetensors.torch import load_file

    folder = save_classifier("gpt2")
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"score\.weight holds NaN"):
        load(folder, text_format="hh")


def test_several_labels_need_an_objective(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama", labels=3)
    with pytest.raises(ModelError, match="3 objectives and none was named"):
        load(folder, text_format="hh")
    model = load(folder, text_format="hh", objective="LABEL_2")
    assert model.objective == "LABEL_2"


def test_remote_code_stays_off(tmp_path: Path, save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    canary = tmp_path / "canary"
    (folder / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    auto_map = {
        "AutoConfig": "modeling_evil.Evil",
        "AutoModelForSequenceClassification": "modeling_evil.Evil",
    }
    described = config | {"auto_map": auto_map, "model_type": "evil"}
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="without remote code"):
        load(folder, text_format="hh")
    # a type that transformers knows loads by transformers' own class
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": auto_map}))
    assert load(folder, text_format="hh").depth == 3
    assert not canary.exists()
