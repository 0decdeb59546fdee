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
from pm_audit.loading.pms.registry import load, load_each, objectives
from pm_audit.subject.plain import plain_rewards

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
        config = peft.LoraConfig(**({"task_type": "SEQ_CLS"} | settings | options))
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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"lora_alpha": 32},
        {"use_dora": True},
        {"bias": "all"},
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "score"]},
        {"trainable_token_indices": [33, 40]},
        {"layers_to_transform": [1]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 32}},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "gaussian"},
        {"modules_to_save": ["score", "embed_tokens"]},
        {"task_type": None},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
)
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
        ({"auto_mapping": {"base_model_class": "LlamaModel", "parent_library": "os"}}, "remote"),
        ({"alora_invocation_tokens": [5]}, "sets alora_invocation_tokens, .* no merge keeps"),
        ({"layer_replication": [[0, 2]]}, "sets layer_replication, .* share"),
        ({"use_qalora": True}, "sets use_qalora"),
        ({"loftq_config": {"loftq_bits": 4}}, "sets loftq_config"),
        ({"init_lora_weights": "loftq"}, "changed the base by chance or by data"),
        ({"init_lora_weights": "pissa_niter_4"}, "path_initial_model_for_weight_conversion"),
        ({"lora_scale_by_norm": True}, "sets lora_scale_by_norm, which this loader does not know"),
        ({"r": 10**9}, "says a rank of 1000000000, expected 1 to"),
        ({"rank_pattern": {"q_proj": 10**9}}, "says a rank of 1000000000, expected 1 to"),
        (
            {"base_model_name_or_path": "org/base", "revision": "v2"},
            "trained on revision 'v2' of org/base; fetch",
        ),
        ({"peft_type": "PROMPT_TUNING"}, "kind PROMPT_TUNING, .* trains a prompt, which no merge"),
        ({"peft_type": "IA3"}, "kind IA3, .* only LORA loads; merge it with peft"),
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


def test_options_that_say_nothing_are_no_options(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
) -> None:
    base, folder, expected = adapted()
    change(folder, lora_scale_by_norm=False, of_a_later_version=None, use_bdlora=None)
    model = load(folder, base=str(base), text_format="hh")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected, atol=1e-5, rtol=1e-5)


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    path = folder / "adapter_model.safetensors"
    held = {key: value.contiguous() for key, value in weights.items()}
    save_file(held, path, metadata={"format": "pt"})


QUERY = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("add", "drop", "message"),
    [
        ({f"{QUERY}.lora_scale.weight": torch.ones(1)}, "", "nothing reads .*lora_scale"),
        ({}, f"{QUERY}.lora_B.weight", "the adapter lacks .*lora_B"),
        ({f"{QUERY}.lora_A.weight": torch.ones(4, 32).char()}, "", r"quantised .*lora_A.*\(I8\)"),
        ({f"{QUERY}.lora_A.weight_scale": torch.ones(1)}, "", "quantised"),
        ({"base_model.model.score.weight": torch.full((1, 32), float("nan"))}, "", "NaN"),
        ({"base_model.model.score.0.weight": torch.ones(4, 32)}, "", "score has several layers"),
    ],
)
def test_every_tensor_of_an_adapter_is_read_or_refused(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
    add: dict[str, torch.Tensor],
    drop: str,
    message: str,
) -> None:
    base, folder, _ = adapted()
    held = dict(load_file(folder / "adapter_model.safetensors")) | add
    rewrite(folder, {key: value for key, value in held.items() if key != drop})
    with pytest.raises(ModelError, match=message):
        load(folder, base=str(base), text_format="hh")


@pytest.mark.parametrize("where", ["weights", "config"])
def test_a_quantised_base_is_refused(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]], where: str
) -> None:
    base, folder, _ = adapted()
    if where == "config":
        config = json.loads((base / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "bitsandbytes"}
        (base / "config.json").write_text(json.dumps(config))
    else:
        held = dict(load_file(base / "model.safetensors"))
        held["model.layers.0.self_attn.q_proj.weight"] = torch.ones(32, 32).char()
        save_file(held, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="quantised"):
        load(folder, base=str(base), text_format="hh")


def test_a_head_of_the_base_serves_an_adapter_without_one(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
) -> None:
    base, folder, expected = adapted(task_type=None, modules_to_save=None)
    model = load(folder, base=str(base), text_format="hh")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected, atol=1e-5, rtol=1e-5)


def test_a_bias_of_the_head_is_read(tmp_path: Path, save_classifier: Callable[..., Path]) -> None:
    base = save_classifier("llama")
    model = AutoModelForSequenceClassification.from_pretrained(base, dtype=torch.float32)
    model.score = torch.nn.Linear(32, 1)
    settings = {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["score"]}
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **settings)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(tmp_path / "adapter")
    with torch.inference_mode():
        expected = torch.cat([wrapped(torch.tensor([row])).logits[:, 0] for row in ROWS])
    assert wrapped.base_model.model.score.modules_to_save["default"].bias.abs().item() > 1e-4
    ours = load(f"{tmp_path / 'adapter'}@{base}", text_format="hh")
    torch.testing.assert_close(plain_rewards(ours, ROWS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("saved", [["score"], ["score", "embed_tokens"]])
def test_added_tokens_come_with_the_adapter(
    tmp_path: Path, save_classifier: Callable[..., Path], saved: list[str]
) -> None:
    base = save_classifier("llama")
    model = AutoModelForSequenceClassification.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(405, mean_resizing=False)
    settings = {"r": 4, "target_modules": ["q_proj"], "modules_to_save": saved}
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **settings)).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    rows = [[1, 404, 50], [1, 33, 401]]
    with torch.inference_mode():
        expected = torch.cat([wrapped(torch.tensor([row])).logits[:, 0] for row in rows])
    ours = load(f"{tmp_path / 'adapter'}@{base}", text_format="hh")
    torch.testing.assert_close(plain_rewards(ours, rows), expected, atol=1e-5, rtol=1e-5)


def test_a_wrapped_adapter_is_read(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
) -> None:
    base, folder, expected = adapted()
    held = load_file(folder / "adapter_model.safetensors")
    rewrite(folder, {f"module.{key}": value for key, value in held.items()})
    model = load(folder, base=str(base), text_format="hh")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected, atol=1e-5, rtol=1e-5)


def test_the_hash_holds_what_scales_the_update(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
) -> None:
    base, folder, _ = adapted()
    before = load(folder, base=str(base), text_format="hh")
    change(folder, lora_alpha=64)
    after = load(folder, base=str(base), text_format="hh")
    assert not torch.allclose(plain_rewards(before, ROWS), plain_rewards(after, ROWS))
    assert before.sha256 != after.sha256


def test_an_adapter_is_no_base(adapted: Callable[..., tuple[Path, Path, torch.Tensor]]) -> None:
    _, folder, _ = adapted()
    with pytest.raises(ModelError, match="base of an adapter is an adapter itself"):
        load(folder, base=str(folder), text_format="hh")


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


ENDLESS = r"((\w|\.)+)+!"
UNSLOTH = (
    r"(?:.*?(?:language|text|model).*?(?:self_attn|attention|mlp).*?(?:q_proj|v_proj).*?)"
    r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn)\.(?:(?:q_proj|v_proj)))"
)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ENDLESS},
        {"exclude_modules": ENDLESS},
        {"layers_pattern": [ENDLESS]},
        {"modules_to_save": ["score", ENDLESS]},
        {"rank_pattern": {ENDLESS: 2}},
        {"alpha_pattern": {ENDLESS: 2}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_pattern_that_never_ends_is_refused(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    monkeypatch.setattr("pm_audit.loading.pms.patterns._SECONDS", 3.0)
    base, adapter, _ = adapted()
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | options))
    with pytest.raises(ModelError, match=r"does not end on .*name the modules in a list"):
        load(f"{adapter}@{base}", text_format="raw")


@pytest.mark.parametrize("pattern", [UNSLOTH, r".*\.layers\.\d+\.self_attn\.(q|v)_proj$"])
def test_patterns_that_people_use_load(
    adapted: Callable[..., tuple[Path, Path, torch.Tensor]], pattern: str
) -> None:
    base, adapter, expected = adapted(target_modules=pattern)
    pm = load(f"{adapter}@{base}", text_format="raw")
    assert torch.allclose(plain_rewards(pm, ROWS).float(), expected, atol=1e-5)
