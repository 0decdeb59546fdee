from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from pm_audit.errors import ModelError
from pm_audit.models.plain import plain_rewards
from pm_audit.models.registry import load, load_each, objectives

# peft asks transformers by an older name
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]


@pytest.fixture
def adapted(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, save_classifier: Callable[..., Path]
) -> Callable[..., tuple[Path, Path, torch.Tensor]]:
    """Let peft write an adapter over a base; return base, adapter, and peft's own rewards."""

    def write(base: Path | None = None, **options: Any) -> tuple[Path, Path, torch.Tensor]:
        base = base or save_classifier("llama")
        place = {"gguf_file": base.name} if base.suffix == ".gguf" else {}
        model = AutoModelForSequenceClassification.from_pretrained(
            base.parent if place else base, num_labels=1, dtype=torch.float32, **place
        )
        settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["score"]}
        config = peft.LoraConfig(task_type="SEQ_CLS", **(settings | options))
        wrapped = peft.get_peft_model(model, config).eval()
        noise = torch.Generator().manual_seed(12)
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if parameter.requires_grad or "lora" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.3)
            expected = torch.cat([wrapped(torch.tensor([row])).logits[:, 0] for row in ROWS])
        folder = tmp_path / "adapter"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft would ask the hub for the base's vocabulary
            wrapped.save_pretrained(folder)
        return base, folder, expected

    return write


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"lora_alpha": 32}])
def test_rewards_equal_pefts_own(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]], options: dict[str, Any]
) -> None:
    base, folder, expected = adapted(**options)
    model = load(folder, base=str(base), text_format="hh")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected, atol=1e-5, rtol=1e-5)
    spelled = load(f"{folder}@{base}", text_format="hh")
    assert spelled.sha256 == model.sha256 != load(base, text_format="hh").sha256


def test_a_gguf_file_is_a_base(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerFast,
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
) -> None:
    base, folder, expected = adapted(write_gguf(tmp_path / "base.gguf"))
    tokenizer.save_pretrained(folder)
    model = load(folder, base=str(base), text_format="hh")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected, atol=1e-5, rtol=1e-5)


def write_gguf(path: Path) -> Path:
    """Write a Llama of two blocks in GGUF."""
    noise = np.random.default_rng(4)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(400)
    shapes = {"token_embd": (400, 32), "output_norm": (32,)}
    for block in range(2):
        shapes |= {f"blk.{block}.attn_{part}": (32, 32) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{block}.ffn_{part}": (64, 32) for part in ("gate", "up")}
        shapes |= {f"blk.{block}.ffn_down": (32, 64)}
        shapes |= {f"blk.{block}.{part}_norm": (32,) for part in ("attn", "ffn")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", noise.normal(size=shape).astype(np.float32) * 0.3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def change(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))


def without_head(folder: Path, file: str) -> None:
    path = folder / file
    weights = {key: value for key, value in load_file(path).items() if "score" not in key}
    save_file(weights, path, metadata={"format": "pt"})


def test_an_adapter_without_a_head_is_refused(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
) -> None:
    base, folder, _ = adapted()
    without_head(folder, "adapter_model.safetensors")
    without_head(base, "model.safetensors")
    with pytest.raises(ModelError, match="no score head and neither has its base"):
        load(folder, base=str(base))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model_name_or_path": "/etc"}, "paths in its file are not followed"),
        ({"base_model_name_or_path": "../base"}, "paths in its file are not followed"),
        ({"base_model_name_or_path": None}, "paths in its file are not followed"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "remote code"),
        ({"auto_mapping": {"base_model_class": "x", "parent_library": "os"}}, "remote code"),
        ({"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING adapter cannot be merged"),
    ],
)
def test_what_an_adapters_file_may_not_say(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
    changes: dict[str, Any],
    message: str,
) -> None:
    _, folder, _ = adapted()
    change(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_an_adapter_of_another_base_is_refused(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]], save_classifier: Callable[..., Path]
) -> None:
    _, folder, _ = adapted()
    other = save_classifier("gpt_neox")
    with pytest.raises(ModelError, match="does not fit its base"):
        load(folder, base=str(other))


def test_without_peft_the_message_says_so(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, folder, _ = adapted()
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ModelError, match="pip install peft"):
        load(folder, base=str(base))


def test_all_objectives_of_an_adapter_are_of_its_named_base(
    save_classifier: Callable[..., Path], tmp_path: Path
) -> None:
    base = save_classifier("llama", labels=2)
    wrapped = peft.get_peft_model(
        AutoModelForSequenceClassification.from_pretrained(base, dtype=torch.float32),
        peft.LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"], modules_to_save=["score"]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft would ask the hub for the base's vocabulary
        wrapped.save_pretrained(tmp_path / "adapter")
    place = f"{tmp_path / 'adapter'}@{base}"
    assert objectives(place) == ("LABEL_0", "LABEL_1")
    rewards = [plain_rewards(model, [[1, 40, 50]]) for model in load_each(place, objective="all")]
    with torch.inference_mode():
        expected = wrapped.eval()(torch.tensor([[1, 40, 50]])).logits[0]
    torch.testing.assert_close(torch.cat(rewards), expected, atol=1e-5, rtol=1e-5)
