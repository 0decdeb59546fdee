"""What the files of a checkpoint hold, from their headers: names, dtypes and shapes.

Wrappers leave their own words in the names (``_orig_mod.`` of a compiled model, ``module.`` of
data parallelism); these words are removed, since the weights are the same.  Quantised weights are
recognised by their dtype or by the scales next to them, and refused: read as they are stored, they
would be other numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.files import refuse_pointer
from pm_audit.loading.foreign import explained
from pm_audit.loading.tensors import is_plain, state_dict, unpickled

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
_WRAPPERS = ("_orig_mod.", "module.", "_forward_module.", "base_model.model.")
"""Removed if every name starts with it, as is any other word before a head of transformers."""
_HEADS = (".score.weight", ".classifier.weight")
_INNER = re.compile(r"(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Removed anywhere in a name."""
_ADAPTED = re.compile(r"\.(lora_[AB]|lora_embedding_[AB]|modules_to_save|base_layer)\.")
_SCALES = re.compile(
    r"(?:^|\.)(qweight|qzeros|scales|g_idx|SCB|CB|weight_format|weight_scale(_inv|_2)?"
    r"|input_scale|output_scale|[kv]_scale|weight_(packed|shape|zero_point|g_idx)"
    r"|absmax|quant_map|nested_absmax|nested_quant_map|quant_state[\w.]*)$|\.quant_state\."
)
UNREAD: Mapping[str, str] = {
    r"(.*\.)?lm_head\.((dense|layer_norm|decoder)\.)?(weight|bias)": "a language-model head",
    r"((.*\.)?embed_out|(model\.)?output)\.weight": "a language-model head",
    r"cls\.(predictions|seq_relationship)\..*": "a language-model head",
    r"(lm_predictions|mask_predictions)\..*": "a language-model head",
    r"(.*\.)?rotary\w*\.inv_freq": "made from the configuration",
    r"(.*\.)?(attn|attention|self_attn)\.(bias|masked_bias)": "causal masks",
    r"(.*\.)?(position_ids|token_type_ids)": "positions",
    r"normalizer\.count": "how many rewards a normaliser has seen",
}
"""Names that files hold although no module reads them, and what they are: harmless."""
_UNREAD = re.compile("|".join(f"(?:{name})" for name in UNREAD))


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor as its file describes it."""

    path: Path
    key: str
    """As the file spells it."""
    dtype: str
    """As safetensors names it: F32, BF16, I8, F8_E4M3, ..."""
    shape: tuple[int, ...]


def listed(paths: Iterable[Path], *, adapter: bool, source: str) -> dict[str, Stored]:
    """Return every tensor of the files by its name without wrappers; an adapter keeps peft's."""
    found = [stored for path in paths for stored in _in_file(path)]
    names = unwrapped([stored.key for stored in found], adapter=adapter)
    held: dict[str, Stored] = {}
    for name, stored in zip(names, found, strict=True):
        if name in held:
            raise ModelError(
                f"{source}: {name} is held twice, in {held[name].path.name} and {stored.path.name}"
                "; fetch the files again into an empty folder"
            )
        held[name] = stored
    return held


def unwrapped(keys: list[str], *, adapter: bool = False) -> list[str]:
    """Return names without what wrappers of the whole model left in them."""
    names = [_INNER.sub(r"\1", key) for key in keys]
    adapted = adapter or any(_ADAPTED.search(name) for name in names)
    while names:
        heads = (
            name.removesuffix(head[1:]) for name in names for head in _HEADS if name.endswith(head)
        )
        shared = [
            wrapper
            for wrapper in (*_WRAPPERS, *(prefix for prefix in heads if prefix.endswith(".")))
            if all(name.startswith(wrapper) and name != wrapper for name in names)
            # an adapter's own names stay as peft spells them
            and not (adapted and wrapper.startswith("base_model."))
        ]
        if not shared:
            break
        names = [name.removeprefix(shared[0]) for name in names]
    return names


def _in_file(path: Path) -> list[Stored]:
    refuse_pointer(path, error=ModelError)
    if path.suffix != ".safetensors":
        return [
            Stored(path, key, _DTYPES.get(value.dtype, str(value.dtype)), tuple(value.shape))
            for key, value in read_pickle(path).items()
        ]
    with (
        explained(ModelError, f"{path}: cannot be read as safetensors", "fetch the file again"),
        safe_open(path, framework="pt") as weights,
    ):
        parts = {key: weights.get_slice(key) for key in weights.keys()}  # noqa: SIM118
        return [
            Stored(path, key, str(part.get_dtype()), tuple(part.get_shape()))
            for key, part in parts.items()
        ]


def harmless(name: str, stored: Stored | None = None) -> bool:
    """Whether a tensor that nothing reads may be ignored."""
    masks = name.endswith(".bias") and name.split(".")[-2] in ("attn", "attention", "self_attn")
    if masks and stored is not None and len(stored.shape) == 1:
        return False  # a bias that is one, and no mask
    return bool(_UNREAD.fullmatch(name))


def refuse_quantised(held: Mapping[str, Stored], *, source: str) -> None:
    """Refuse tensors of another dtype than plain floats, and those with a stored scale."""
    scales = sorted(name for name in held if _SCALES.search(name))
    narrow = sorted(
        name
        for name, stored in held.items()
        if stored.dtype not in FLOATS and not harmless(name, stored)
    )
    if scales or narrow:
        shown = ", ".join([f"{name} ({held[name].dtype})" for name in (*narrow, *scales)][:4])
        raise ModelError(
            f"{source}: its weights are quantised or not plain floats: {shown}, so rewards from "
            "them would be wrong; use the checkpoint that it was made from, or dequantise it and "
            "save it in bfloat16, float16 or float32"
        )


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a torch file; no code of it runs."""
    held = state_dict(unpickled(path, error=ModelError), source=path, error=ModelError)
    if odd := [key for key, value in held.items() if not is_plain(value)]:
        raise ModelError(
            f"{path}: {odd[0]!r} is sparse, quantised or larger than what is stored of it; save "
            "the model as safetensors"
        )
    return held
