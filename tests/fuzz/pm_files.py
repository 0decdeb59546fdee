"""Preference models of every family, tiny, and mutated: each must load, or be refused by name."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import plain_rewards
from tests.fuzz.mutations import (
    mutate_bytes,
    mutate_folder,
    mutate_json,
    mutate_tensors,
    write_json,
)

HIDDEN = 16
CHAT = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}"
SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "intermediate_size": 24,
}
OBJECTIVE = {"armo": "objective_1", "labels": "LABEL_0=1,LABEL_1=-1"}


def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    rules = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=rules,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=CHAT,
    )


def _config(kind: str, **changes: Any) -> Any:
    config = AutoConfig.for_model(kind, vocab_size=300, **(SIZES | changes))
    config.pad_token_id, config.bos_token_id, config.eos_token_id = 2, 0, 1
    return config


def _classifier(folder: Path, kind: str, **changes: Any) -> None:
    torch.manual_seed(1)
    AutoModelForSequenceClassification.from_config(_config(kind, **changes)).save_pretrained(folder)


def _headed(folder: Path, kind: str, head: dict[str, torch.Tensor], **described: Any) -> None:
    torch.manual_seed(1)
    config = _config(kind)
    body = AutoModel.from_config(config)
    config.save_pretrained(folder)
    weights = {f"model.{key}": value.clone() for key, value in body.state_dict().items()}
    weights |= {key: value.clone().contiguous() for key, value in head.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", written | described)


def _adapter(folder: Path, base: Path) -> None:
    import peft

    model = AutoModelForSequenceClassification.from_pretrained(base)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=2, target_modules=["q_proj"], modules_to_save=["score"]
    )
    peft.get_peft_model(model, config).save_pretrained(folder)


def build(root: Path) -> dict[str, Path]:
    """Write one folder of each family; return them by name."""
    row, many = torch.randn(1, HIDDEN), torch.randn(3, HIDDEN)
    gate = {"gating.layers.0.weight": torch.randn(3, HIDDEN), "gating.layers.0.bias": many[:, 0]}
    names = ("llama", "gpt2", "labels", "bert", "trl", "open", "oasst", "beaver", "armo", "sarm")
    folders = {name: root / name for name in (*names, "adapter", "ldl")}
    for folder in folders.values():
        folder.mkdir(parents=True)
        tokenizer().save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _classifier(folders["llama"], "llama", num_labels=1, num_key_value_heads=1)
        _classifier(folders["gpt2"], "gpt2", num_labels=1)
        _classifier(folders["labels"], "qwen2", num_labels=2, num_key_value_heads=1)
        _classifier(folders["bert"], "bert", num_labels=1)
        trl = {"v_head.summary.weight": row, "v_head.summary.bias": row[0, :1]}
        _headed(folders["trl"], "gpt_neox", trl, architectures=["GPTNeoXForCausalLM"])
        stored = {"value_head.weight": row, "mean": torch.ones(1), "std": torch.ones(1)}
        said = {"value_head_prefix": "value_head", "normalize_reward": True}
        _headed(folders["open"], "llama", stored, **said)
        oasst = {"out_proj.weight": row, "out_proj.bias": row[0, :1]}
        said = {"architectures": ["GPTNeoXRewardModel"], "pooling": "mean"}
        _headed(folders["oasst"], "gpt_neox", oasst, **said)
        beaver = {"score_head.weight": row, "normalizer.mean": row[0, :1]}
        beaver |= {"normalizer.var": torch.ones(1)}
        said = {"architectures": ["LlamaForScore"], "do_normalize": True, "score_type": "cost"}
        _headed(folders["beaver"], "llama", beaver, **said)
        armo = {"regression_layer.weight": many, "reward_transform_matrix": torch.eye(3)} | gate
        _headed(folders["armo"], "llama", armo, architectures=["LlamaForRewardModelWithGating"])
        sarm = {
            "sae.pre_bias": row[0],
            "sae.latent_bias": torch.randn(20),
            "sae.encoder.weight": torch.randn(20, HIDDEN),
            "score.weight": torch.randn(1, 20),
        }
        said = {"architectures": ["LlamaSARM"], "sae_hidden_state_source_layer": 1, "sae_k": 4}
        _headed(folders["sarm"], "llama", sarm, **said)
        _headed(folders["ldl"], "llama", {}, softmax=True, temperature=2.0)
        for name, outputs in (("regression_layer.pt", 30), ("gating_layer.pt", 3)):
            network = torch.nn.Sequential(torch.nn.Linear(HIDDEN, outputs))
            held = {f"network.{key}": value for key, value in network.state_dict().items()}
            torch.save(held, folders["ldl"] / name)
        _adapter(folders["adapter"], folders["llama"])
    return folders


_WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
_CONFIGS = ("config.json", "adapter_config.json", "adapter_config.json", "tokenizer_config.json")


def mutated(root: Path, held: dict[str, Path], number: int) -> tuple[str, str, bool]:
    """Write mutant ``number``; return its family, its place, and whether its tokenizer is whole."""
    rng = random.Random(number)
    torch.manual_seed(number)
    kind = sorted(held)[number % len(held)]
    folder = root / kind
    shutil.copytree(held[kind], folder)
    names = sorted(path.name for path in folder.iterdir())
    configs = [name for name in _CONFIGS if name in names]
    weights = next(name for name in _WEIGHTS if name in names)
    way, whole = rng.random(), True
    if way < 0.5 or way > 0.93:
        name = rng.choice(configs) if rng.random() < 0.3 else configs[0]
        whole = name != "tokenizer_config.json"
        write_json(folder / name, mutate_json(json.loads((folder / name).read_text()), rng))
    if 0.5 <= way < 0.75 or way > 0.93:
        tensors = mutate_tensors(load_file(folder / weights), rng)
        if rng.random() < 0.2 and weights == "model.safetensors":
            (folder / weights).unlink()
            torch.save(tensors, folder / "pytorch_model.bin")
        else:
            save_file(tensors, folder / weights, metadata={"format": "pt"})
    elif 0.75 <= way < 0.87:
        name = rng.choice((weights, *configs, *names))
        whole = name not in ("tokenizer.json", "tokenizer_config.json")
        mutate_bytes(folder / name, rng)
    elif 0.87 <= way < 0.93:
        mutate_folder(folder, names, rng)
        whole = False
    place = f"{folder}@{held['llama']}" if kind == "adapter" else str(folder)
    if rng.random() < 0.01:
        place = rng.choice((f"{place}@{place}", f"{place}\0", place * 100, "@", f"@{place}", "a@"))
    return kind, place, whole


def use(kind: str, place: str, whole: bool) -> None:  # noqa: FBT001
    """Load, and read two rewards."""
    model = load(place, objective=OBJECTIVE.get(kind))
    if whole:
        plain_rewards(model, [[0, 9, 8, 7], [0, 5]])
