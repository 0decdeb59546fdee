"""A PM whose weights cannot write to some directions of the stream: weight orthogonalisation.

With orthonormal rows D [direction hidden] and a level c [direction], every matrix that writes to
the stream up to a block loses its part in their span, and the embedding gets the level:

    W' = W - D^T D W          embedding rows e' = e - D^T (D e - c)

So the stream's component there is c at every token up to that block, in plain weights.  Each
change is of rank [direction], which is an adapter that PEFT loads by itself.  Arditi et al. (2024,
"Refusal in language models is mediated by a single direction") ablate a direction so, in all
blocks.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from pm_audit.errors import ModelError
from pm_audit.records import write_atomically
from pm_audit.subject.decoder import Decoder
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import PreferenceModel, Readout

PLAIN = ("llama", "mistral", "qwen2", "qwen3")
"""Model types whose blocks add ``o_proj`` and ``down_proj`` to the stream, and nothing else."""

_WRITERS = ("self_attn.o_proj", "mlp.down_proj")


@dataclass(frozen=True, eq=False)
class Projection:
    """Directions, the level of the stream along each, and the last block that may not write."""

    basis: Tensor
    """[direction hidden], orthonormal, float64."""
    level: Tensor
    """[direction], float64."""
    layer: int

    @classmethod
    def onto(cls, rows: Tensor, stream: Tensor, layer: int) -> Projection:
        """Return the span of decoder rows [feature hidden], at the level of a stream [hidden]."""
        _, size, directions = torch.linalg.svd(rows.double(), full_matrices=False)
        basis = directions[size > 1e-6 * size[0]]
        return cls(basis, basis @ stream.double(), layer)


def refusal(pm: PreferenceModel) -> str | None:
    """Return why plain weights cannot hold a projection of this PM; None if they can."""
    config = pm.decoder.backbone.config.get_text_config()
    if config.model_type not in PLAIN:
        return (
            f"blocks of {config.model_type} may write to the stream by more than "
            f"{' and '.join(_WRITERS)} (done for {', '.join(PLAIN)})"
        )
    head = pm.head
    if pm.readout is not Readout.LAST or not isinstance(head, LinearHead) or bool(head.bias.any()):
        return "its head is not a linear score of the last token, without a bias"
    return None


def projected(pm: PreferenceModel, projection: Projection) -> PreferenceModel:
    """Return the PM with the projection in its weights; the PM itself stays as it is.

    Raises:
        ModelError: plain weights cannot hold it.

    """
    if reason := refusal(pm):
        raise ModelError(f"{pm.name}: {reason}")
    backbone = copy.deepcopy(pm.decoder.backbone)
    with torch.no_grad():
        for name, (up, down) in updates(pm, projection).items():
            weight = backbone.get_parameter(f"{name}.weight")
            change = (down.T @ up.T) if name == _embedding(pm) else up @ down
            weight.copy_((weight.double() + change).to(weight.dtype))
        for _, linear in _writers(backbone, projection.layer):
            if linear.bias is not None:
                bias, basis = linear.bias.double(), projection.basis.to(linear.bias.device)
                linear.bias.copy_((bias - basis.T @ (basis @ bias)).to(linear.bias.dtype))
    digest = hashlib.sha256(pm.sha256.encode())
    for tensor in (projection.basis, projection.level):
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return replace(pm, decoder=Decoder(backbone), library=None, sha256=digest.hexdigest())


def updates(pm: PreferenceModel, projection: Projection) -> dict[str, tuple[Tensor, Tensor]]:
    """Return (up, down) in float64 by the name of the backbone's module.

    A linear map's weight changes by ``up @ down``, the embedding's by the transpose of it.
    """
    backbone = pm.decoder.backbone
    embedded = backbone.get_input_embeddings().weight.detach().double()
    basis = projection.basis.to(embedded.device)
    level = projection.level.to(embedded.device)
    found = {_embedding(pm): (basis.T, -(embedded @ basis.T - level).T)}
    for name, linear in _writers(backbone, projection.layer):
        weight = linear.weight.detach().double()
        found[name] = (-basis.T, basis @ weight)
    return found


def save_whole(pm: PreferenceModel, folder: Path) -> None:
    """Write a PM as a folder that ``AutoModelForSequenceClassification`` loads by itself.

    Raises:
        ModelError: its head or its blocks are not the class' own.

    """
    if reason := refusal(pm):
        raise ModelError(f"{pm.name}: {reason}")
    config = copy.deepcopy(pm.decoder.backbone.config)
    config.num_labels = 1
    if config.pad_token_id is None:
        config.pad_token_id = pm.tokenizer.pad_token_id
    model: Any = AutoModelForSequenceClassification.from_config(config, dtype=pm.dtype)
    model.base_model.load_state_dict(pm.decoder.backbone.state_dict())
    score = _score(pm)
    with torch.no_grad():
        model.score.weight.copy_(score)
    model.save_pretrained(folder)
    pm.tokenizer.save_pretrained(folder)


def save_adapter(pm: PreferenceModel, projection: Projection, folder: Path, *, base: str) -> None:
    """Write the projection as a LoRA adapter over ``base``, which PEFT loads by itself.

    Raises:
        ModelError: a matrix that it changes has a bias, which an adapter does not change.

    """
    if reason := refusal(pm):
        raise ModelError(f"{pm.name}: {reason}")
    for name, linear in _writers(pm.decoder.backbone, projection.layer):
        if linear.bias is not None:
            raise ModelError(f"{pm.name}: {name} has a bias, which no adapter changes")
    prefix = "base_model.model.model."
    # PEFT keeps a classifier's score with its adapter
    tensors, names = {"base_model.model.score.weight": _score(pm).cpu()}, []
    for name, (up, down) in updates(pm, projection).items():
        names.append(f"model.{name}")
        parts = ("lora_embedding_A", "lora_embedding_B")
        kinds = parts if name == _embedding(pm) else ("lora_A.weight", "lora_B.weight")
        for kind, tensor in zip(kinds, (down, up), strict=True):
            tensors[f"{prefix}{name}.{kind}"] = tensor.float().contiguous().cpu()
    rank = len(projection.basis)
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "target_modules": sorted(names),
        "modules_to_save": ["score"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_atomically(folder / "adapter_config.json", json.dumps(config, indent=1) + "\n")


def _score(pm: PreferenceModel) -> Tensor:
    assert isinstance(pm.head, LinearHead)
    return pm.head.weight.detach()


def _embedding(pm: PreferenceModel) -> str:
    embeddings = pm.decoder.backbone.get_input_embeddings()
    names = [n for n, one in pm.decoder.backbone.named_modules() if one is embeddings]
    return str(names[0])


def _writers(backbone: Any, layer: int) -> Iterator[tuple[str, nn.Linear]]:
    names: Sequence[str] = [
        f"layers.{block}.{one}" for block in range(layer + 1) for one in _WRITERS
    ]
    for name in names:
        yield name, backbone.get_submodule(name)
