"""What the files of a checkpoint hold, from their headers: names, dtypes and shapes.

Wrappers leave their own words in the names (``_orig_mod.`` of a compiled model, ``module.`` of
data parallelism); they are taken off, since the weights are the same.  Quantised weights are
recognised by their dtype or by the scales next to them, and refused: read as they are stored they
would be other numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.files import refuse_pointer

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
_WRAPPERS = ("_orig_mod.", "module.", "_forward_module.", "base_model.model.")
"""Taken off where every name starts with it, as is any other word before a head of transformers."""
_HEADS = (".score.weight", ".classifier.weight")
_INNER = re.compile(r"(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Taken off wherever it stands."""
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
    """Return every tensor of the files by its name, wrappers taken off.

    Args:
        paths: the files.
        adapter: whether they are one of peft, whose own names stay as it spells them.
        source: the checkpoint, for messages.

    Raises:
        ModelError: a file cannot be read, or two tensors have one name.

    """
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
    try:
        with safe_open(path, framework="pt") as weights:
            parts = {key: weights.get_slice(key) for key in weights.keys()}  # noqa: SIM118
            return [
                Stored(path, key, str(part.get_dtype()), tuple(part.get_shape()))
                for key, part in parts.items()
            ]
    except (SafetensorError, OSError, ValueError) as problem:
        raise ModelError(
            f"{path}: cannot be read as safetensors: {problem}; fetch the file again"
        ) from problem


def harmless(name: str, stored: Stored | None = None) -> bool:
    """Whether a tensor that nothing reads may be ignored."""
    masks = name.endswith(".bias") and name.split(".")[-2] in ("attn", "attention", "self_attn")
    if masks and stored is not None and len(stored.shape) == 1:
        return False  # a bias that is one, and no mask
    return bool(_UNREAD.fullmatch(name))


def refuse_quantised(held: Mapping[str, Stored], *, source: str) -> None:
    """Refuse tensors whose numbers are not the weights.

    Raises:
        ModelError: a tensor is of another dtype than plain floats, or a scale is stored.

    """
    scales = sorted(name for name in held if _SCALES.search(name))
    narrow = sorted(
        name
        for name, stored in held.items()
        if stored.dtype not in FLOATS and not harmless(name, stored)
    )
    if scales or narrow:
        shown = ", ".join([f"{name} ({held[name].dtype})" for name in (*narrow, *scales)][:4])
        raise ModelError(
            f"{source}: its weights are quantised or no plain floats: {shown}; rewards read from "
            "them as they lie would be wrong. Use the checkpoint that it was made from, or "
            "dequantise it and save it in bfloat16, float16 or float32"
        )


def refuse_unread(unread: Iterable[str], held: Mapping[str, Stored], *, source: str) -> None:
    """Refuse tensors that no module reads, but for those that are known to be harmless.

    Raises:
        ModelError: the message names them.

    """
    left = sorted(name for name in unread if not harmless(name, held.get(name)))
    if left:
        raise ModelError(
            f"{source}: nothing reads {', '.join(left[:5])}{' and others' if left[5:] else ''}, so "
            "the reward may not be the one that was trained; take them out of the file if they "
            "do not change it, or use the class that reads them"
        )


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Read a torch file of named tensors; no code of it runs.

    Raises:
        ModelError: it holds anything else.

    """
    refuse_pointer(path, error=ModelError)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except Exception as problem:  # bytes that are no pickle raise whatever they lead to
        raise _torn(path, problem) from problem
    if not isinstance(held, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in held.items()
    ):
        raise ModelError(f"{path}: holds no state dict of tensors; save the model as safetensors")
    if odd := [key for key, value in held.items() if not plain(value)]:
        raise ModelError(
            f"{path}: {odd[0]!r} is sparse, quantised or larger than what is stored of it; save "
            "the model as safetensors"
        )
    return held


def plain(tensor: Tensor) -> bool:
    """Whether a tensor is stored as its shape says: dense, and not a view that repeats."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()


def _torn(path: Path, problem: Exception) -> ModelError:
    said = str(problem).splitlines() or [type(problem).__name__]
    return ModelError(
        f"{path}: holds more than tensors, or is torn; nothing of it was run. Save the model "
        f"as safetensors ({said[0][:160]})"
    )
