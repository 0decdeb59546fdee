from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.stored import unwrapped
from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import plain_rewards

ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]
QUERY = "model.layers.0.self_attn.q_proj.weight"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def by_transformers(folder: Path) -> torch.Tensor:
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([row])).logits[:, 0] for row in ROWS])


def rewrite(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = folder / "model.safetensors"
    weights = {key: value.contiguous() for key, value in change(dict(load_file(path))).items()}
    save_file(weights, path, metadata={"format": "pt"})


def describe(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("before", "inside"),
    [
        ("_orig_mod.", ""),
        ("module.", ""),
        ("module._orig_mod.", ""),
        ("base_model.model.", ""),
        ("policy.", ""),
        ("", "_orig_mod."),
        ("", "_fsdp_wrapped_module."),
    ],
)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_wrappers_words_are_taken_off(
    save_classifier: Callable[..., Path], before: str, inside: str, file: str
) -> None:
    folder = save_classifier("llama")
    expected = by_transformers(folder)
    rewrite(
        folder,
        lambda held: {
            before + key.replace("model.layers", f"model.{inside}layers"): value
            for key, value in held.items()
        },
    )
    if file.endswith("bin"):
        torch.save(load_file(folder / "model.safetensors"), folder / file)
        (folder / "model.safetensors").unlink()
    ours = plain_rewards(load(folder, text_format="hh"), ROWS)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "keys",
    [
        ["model.a.weight", "score.weight"],
        ["module.a.weight", "score.weight"],
        ["bert.a.weight", "classifier.weight"],
        ["base_model.model.q.lora_A.weight", "base_model.model.score.weight"],
    ],
)
def test_names_that_are_no_wrappers_stay(keys: list[str]) -> None:
    assert unwrapped(keys) == keys


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2, torch.int32]
)
@pytest.mark.parametrize("name", [QUERY, "score.weight"])
def test_weights_that_are_no_plain_floats_are_refused(
    save_classifier: Callable[..., Path], dtype: torch.dtype, name: str
) -> None:
    folder = save_classifier("llama")
    rewrite(folder, lambda held: held | {name: (held[name] * 50).to(dtype)})
    with pytest.raises(ModelError, match=f"quantised or not plain floats: {name}.*dequantise it"):
        load(folder, text_format="hh")
    # as told: dequantised and saved as floats it loads
    rewrite(folder, lambda held: held | {name: held[name].float() / 50})
    torch.testing.assert_close(
        plain_rewards(load(folder, text_format="hh"), ROWS), by_transformers(folder)
    )


@pytest.mark.parametrize(
    "name",
    [
        *("weight_scale", "weight_scale_inv", "SCB", "qweight", "qzeros", "scales", "g_idx"),
        *("weight_packed", "weight_zero_point", "absmax", "quant_state.bitsandbytes__nf4"),
    ],
)
def test_a_scale_that_no_module_reads_is_refused(
    save_classifier: Callable[..., Path], name: str
) -> None:
    folder = save_classifier("llama")
    scale = f"{QUERY.removesuffix('weight')}{name}"
    rewrite(folder, lambda held: held | {scale: torch.ones(1)})
    with pytest.raises(ModelError, match=f"quantised or not plain floats: .*{name}"):
        load(folder, text_format="hh")


def test_a_tensor_that_nothing_reads_is_refused_and_a_language_models_head_is_not(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    expected = by_transformers(folder)
    harmless = {
        "lm_head.weight": torch.ones(4, 32),
        "pretrained_model.lm_head.weight": torch.ones(4, 32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
    }
    rewrite(folder, lambda held: held | harmless)
    torch.testing.assert_close(plain_rewards(load(folder, text_format="hh"), ROWS), expected)
    rewrite(folder, lambda held: held | {"model.adapter_gate": torch.ones(1)})
    with pytest.raises(ModelError, match=r"nothing reads model\.adapter_gate.* take them out"):
        load(folder, text_format="hh")
    rewrite(folder, lambda held: {k: v for k, v in held.items() if k != "model.adapter_gate"})
    torch.testing.assert_close(plain_rewards(load(folder, text_format="hh"), ROWS), expected)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "compressed-tensors", "fp8"])
def test_a_quantised_configuration_is_refused_until_it_is_removed(
    save_classifier: Callable[..., Path], method: str
) -> None:
    folder = save_classifier("llama")
    describe(folder, quantization_config={"quant_method": method})
    with pytest.raises(ModelError, match=rf"quantization_config \({method}\)"):
        load(folder, text_format="hh")
    describe(folder, quantization_config="absent")
    assert load(folder, text_format="hh").depth == 3


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs_says_what_to_run(
    save_classifier: Callable[..., Path], file: str
) -> None:
    folder = save_classifier("llama")
    (folder / file).write_text(POINTER)
    with pytest.raises(ModelError, match=f"{file}: is a Git LFS pointer.*run `git lfs pull`"):
        load(folder, text_format="hh")


def test_a_name_held_by_two_shards_is_refused(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    weights = load_file(folder / "model.safetensors")
    names = ("one.safetensors", "two.safetensors")
    for name in names:
        save_file(weights, folder / name, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    shards = {key: names[index % 2] for index, key in enumerate(sorted(weights))}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match="is held twice, in one"):
        load(folder, text_format="hh")


def test_a_view_larger_than_its_storage_is_refused(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    held = dict(load_file(folder / "model.safetensors"))
    held["score.weight"] = torch.ones(1).expand(10**6, 10**6)
    (folder / "model.safetensors").unlink()
    torch.save(held, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="larger than what is stored of it"):
        load(folder, text_format="hh")
