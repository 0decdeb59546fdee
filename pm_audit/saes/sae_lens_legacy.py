"""SAEs in SAELens's format before version 6: the same files with a flat configuration.

The configuration is brought to the later form; a finetuning scale, which multiplied the features
before decoding, is folded into the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from pm_audit.errors import SaeError
from pm_audit.saes import sae_lens
from pm_audit.saes.format import SaeFiles, SaeFormat, read_safetensors
from pm_audit.saes.sae import Sae


def load(files: SaeFiles) -> Sae:
    """Load the SAE.

    Raises:
        SaeError: it is refused, or its weights do not fit its configuration.

    """
    weights = files.weights_file(sae_lens.WEIGHTS)
    if weights is None:
        raise SaeError(f"{files.source}: {sae_lens.WEIGHTS} is missing; fetch it too")
    files = files.at_weights(weights)
    old = files.config(sae_lens.CONFIG)
    settings = sae_lens.read_settings(current(old, source=files.source), source=files.source)
    tensors = read_safetensors(weights)
    scale = tensors.pop("finetuning_scaling_factor", tensors.pop("scaling_factor", None))
    sae = sae_lens.build(settings, tensors, files)
    if scale is None or torch.allclose(scale, torch.ones_like(scale)):
        return sae
    if not old.get("finetuning_scaling_factor"):
        raise SaeError(
            f"{files.source}: holds a scaling_factor other than 1 that its config does not "
            "mention; save the SAE again without it, or set finetuning_scaling_factor"
        )
    return replace(
        sae,
        W_dec=sae.W_dec * scale[:, None],
        notes=(*sae.notes, "finetuning scale folded into the decoder"),
    )


def current(old: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return a flat configuration in the form of version 6.

    Raises:
        SaeError: its activation function is none that features can have.

    """
    function = old.get("activation_fn", old.get("activation_fn_str", "relu"))
    options = old.get("activation_fn_kwargs") or {}
    architecture = old.get("architecture", "standard")
    if function == "topk":
        architecture = "topk"
    elif function != "relu":
        raise SaeError(
            f"{source}: activation function {function!r} is refused: its features need not be "
            "zero or positive; use an SAE with relu, jumprelu or topk"
        )
    normalises = old.get("normalize_activations")
    if isinstance(normalises, bool):
        normalises = "expected_average_only_in" if normalises else "none"
    hook = old.get("hook_name", old.get("hook_point"))
    reshape = old.get("reshape_activations", "hook_z" if "hook_z" in str(hook) else "none")
    return {
        "architecture": architecture,
        "d_in": old.get("d_in"),
        "d_sae": old.get("d_sae"),
        "k": options.get("k"),
        "apply_b_dec_to_input": old.get("apply_b_dec_to_input", True),
        "normalize_activations": normalises,
        "reshape_activations": reshape,
        "metadata": {"hook_name": hook, "hook_name_out": old.get("hook_name_out")},
    }


def _recognises(files: SaeFiles) -> bool:
    return (
        files.has(sae_lens.CONFIG)
        and files.weights_file(sae_lens.WEIGHTS) is not None
        and "metadata" not in files.config(sae_lens.CONFIG)
    )


FORMAT = SaeFormat(
    name="SAELens before 6",
    files=f"`{sae_lens.CONFIG}` (flat), `{sae_lens.WEIGHTS}`",
    loads=sae_lens.FORMAT.loads,
    refuses={**sae_lens.REFUSED, "tanh-relu": "its features need not be zero or positive"},
    recognises=_recognises,
    load=load,
)
