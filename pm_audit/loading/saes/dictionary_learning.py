"""SAEs of dictionary_learning (``ae.pt``, ``config.json``) and of the published experiment.

Weights of linear layers lie transposed against W_enc and W_dec: encoder.weight [latent hidden],
decoder.weight [hidden latent].  A finished run has its biases scaled to raw activations; the
checkpoint of an interrupted one (``{step, ae, norm_factor, ...}``) has not, and is scaled here.
The published experiment's ``ae_layer{L}.pt`` holds the gated class without a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import (
    SaeFiles,
    SaeFormat,
    read_pickle,
    refuse_square,
    refuse_unread,
    state_dict,
    take,
)
from pm_audit.loading.saes.options import positive, refuse_unknown, text, whole
from pm_audit.subject.activation import Activation, Gated, JumpRelu, Relu, TopK
from pm_audit.subject.sae import Sae

CONFIG, WEIGHTS = "config.json", "ae.pt"
_PUBLISHED = re.compile(r"ae_layer(\d{1,4})\.pt")
REFUSED: Mapping[str, str] = {
    "transcoder": "a transcoder predicts another place than it reads",
    "BatchTopK without a threshold": "its inference threshold was never trained (-1)",
    "CrossCoder": "it reads several places at once",
}

WITH_K = frozenset({"AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"})
_LINEAR = frozenset({"encoder.weight", "decoder.weight", "encoder.bias"})
_MATRICES = frozenset({"W_enc", "W_dec", "b_enc", "b_dec", "threshold"})
READ: Mapping[str, frozenset[str]] = {
    "AutoEncoder": _LINEAR | {"bias", "decoder.bias"},
    "AutoEncoderNew": _LINEAR | {"decoder.bias"},
    "GatedAutoEncoder": frozenset({"encoder.weight", "decoder.weight", "decoder_bias"})
    | {"gate_bias", "r_mag", "mag_bias"},
    # this class has a threshold too, and encodes without it
    "AutoEncoderTopK": _LINEAR | {"b_dec", "k", "threshold"},
    "BatchTopKSAE": _LINEAR | {"b_dec", "k", "threshold"},
    "JumpReluAutoEncoder": _MATRICES,
    "MatryoshkaBatchTopKSAE": _MATRICES | {"k", "group_sizes"},
}
"""Tensors of each class; what else a file holds is refused."""
TRAINER = frozenset(
    {
        *("trainer_class", "dict_class", "activation_dim", "dict_size", "k", "layer", "lm_name"),
        *("submodule_name", "wandb_name", "device", "seed", "steps", "lr", "warmup_steps"),
        *("sparsity_warmup_steps", "decay_start", "resample_steps", "l1_penalty"),
        *("sparsity_penalty", "sparsity_function", "auxk_alpha", "threshold_beta"),
        *("threshold_start_step", "top_k_aux", "group_fractions", "group_weights"),
        *("group_sizes", "bandwidth", "target_l0", "p_start", "p_end", "anneal_start"),
        *("anneal_end", "sparsity_queue_length", "n_sparsity_updates", "use_threshold"),
        *("initial_sparsity_penalty", "temperature", "aux_weight", "optimizer", "scheduler"),
    }
)
"""Options of a trainer: all of training but the class, the sizes, k and the place."""
BUFFER = frozenset(
    {
        *("d_submodule", "io", "n_ctxs", "ctx_len", "refresh_batch_size", "out_batch_size"),
        *("device", "remove_bos", "max_activation_norm_multiple", "add_special_tokens"),
        *("submodule_name", "submodule", "model_name", "dtype"),
    }
)
BESIDE = frozenset({"trainer", "buffer", "lm_name", "layer", "dataset", "name", "version"})
"""Sections of a configuration, and what else it names, that only describes."""

Weights = Mapping[str, Tensor]
Parts = dict[str, Any]
"""Arguments of ``Sae`` that depend on the class of the dictionary."""


def load(files: SaeFiles) -> Sae:
    """Load a run of dictionary_learning.

    Raises:
        SaeError: it is refused, or its weights do not fit its configuration.

    """
    source = files.source
    trainer, buffer = _sections(files.config(CONFIG), source=source)
    weights = files.weights or files.weights_file(WEIGHTS)
    if weights is None:
        raise SaeError(f"{source}: {WEIGHTS} is missing beside {CONFIG}; fetch it too")
    files = files.at_weights(weights)
    kind = str(trainer.get("dict_class"))[:80]
    if kind not in CLASSES:
        reason = f": {REFUSED[kind]}" if kind in REFUSED else ""
        raise SaeError(
            f"{source}: dict_class {kind!r} does not load{reason}; these do: {', '.join(CLASSES)}"
        )
    tensors, notes = _read(files)
    layer = _block(files, trainer, buffer)
    if kind in WITH_K and trainer.get("k") is not None:
        k = whole(trainer, "k", source=source, where=CONFIG)
        if _whole_k(tensors.setdefault("k", torch.tensor(k)), source) != k:
            raise SaeError(f"{source}: k is {k} in {CONFIG} and {int(tensors['k'])} in the weights")
    parts = CLASSES[kind](tensors, source)
    refuse_unread(tensors, READ[kind], source=source)
    return _assemble(files, layer, kind, parts, notes)


def load_published(files: SaeFiles) -> Sae:
    """Load ``ae_layer{L}.pt`` of the published experiment: gated, after block L.

    Raises:
        SaeError: it holds other weights.

    """
    named = files.weights and _PUBLISHED.fullmatch(files.weights.name)
    if not named:
        raise SaeError(f"{files.source}: name the file ae_layer{{L}}.pt itself")
    tensors, notes = _read(files)
    layer = files.layer if files.layer is not None else int(named[1])
    parts = _gated(tensors, files.source)
    refuse_unread(tensors, READ["GatedAutoEncoder"], source=files.source)
    return _assemble(files, layer, "gated", parts, notes)


def _assemble(
    files: SaeFiles, layer: int, architecture: str, parts: Parts, notes: tuple[str, ...]
) -> Sae:
    latent, hidden = parts["W_dec"].shape
    k = parts["activation"].k if isinstance(parts["activation"], TopK) else 1
    if k > latent:
        raise SaeError(f"{files.source}: k is {k}, more than the {latent} latents; fetch it again")
    refuse_square(hidden, latent, source=files.source)
    return Sae(
        name=files.name,
        layer=layer,
        architecture=architecture,
        source=files.source,
        sha256=files.sha256(),
        notes=notes,
        **parts,
    )


def _sections(config: Mapping[str, Any], *, source: str) -> tuple[Parts, Parts]:
    trainer, buffer = config.get("trainer"), config.get("buffer") or {}
    if not isinstance(trainer, dict) or not isinstance(buffer, dict):
        raise SaeError(f"{source}: {CONFIG} has no `trainer` section that names dict_class")
    refuse_unknown(config, BESIDE, source=source, where=CONFIG)
    refuse_unknown(trainer, TRAINER, source=source, where=f"trainer of {CONFIG}")
    refuse_unknown(buffer, BUFFER, source=source, where=f"buffer of {CONFIG}")
    if buffer.get("io") == "in_and_out":
        raise SaeError(
            f"{source}: trained on inputs and outputs of a module, so it is a transcoder; "
            "audits need an SAE that reconstructs what it reads"
        )
    return trainer, buffer


def _block(files: SaeFiles, trainer: Mapping[str, Any], buffer: Mapping[str, Any]) -> int:
    named = text(trainer, "submodule_name", source=files.source, where=CONFIG)
    layer = trainer.get("layer")
    if layer is not None and (isinstance(layer, bool) or not isinstance(layer, int)):
        raise SaeError(
            f"{files.source}: {CONFIG} says layer is {str(layer)[:40]!r}, expected a number; say "
            f"so: {files.source}@LAYER, the block after which it reads, counted from 0"
        )
    hook = named or (None if layer is None else f"layer_{layer}")
    if files.layer is None and buffer.get("io") == "in" and layer is not None:
        hook = f"blocks.{layer}.hook_resid_pre"
    return files.block(hook)


def _read(files: SaeFiles) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the weights with biases on the scale of raw activations, and notes."""
    source = files.source
    held = read_pickle(files.weights) if files.weights else None
    if not (isinstance(held, dict) and "ae" in held and "step" in held):
        return state_dict(held, source=source), ()
    tensors, factor = state_dict(held["ae"], source=source), held.get("norm_factor")
    if factor is None:
        return tensors, ("checkpoint of an interrupted run",)
    if isinstance(factor, Tensor) and factor.numel() == 1:
        factor = factor.item()
    factor = positive(factor, "norm_factor of the checkpoint", source=source)
    scaled = {key: _scaled(key, value, factor) for key, value in tensors.items()}
    return scaled, (f"checkpoint of an interrupted run: biases scaled by {factor:g}",)


def _scaled(key: str, value: Tensor, factor: float) -> Tensor:
    # r_mag is the logarithm of a ratio, so the scale of the activations leaves it as it is
    bias = key.endswith("bias") or key in {"b_enc", "b_dec", "threshold"}
    # other dtypes are refused as they lie
    return value * factor if bias and value.dtype in (torch.float32, torch.float64) else value


def _linear(tensors: Weights, encoder_bias: str, decoder_bias: str, source: str) -> Parts:
    keys = ("encoder.weight", "decoder.weight", encoder_bias, decoder_bias)
    encoder, decoder, bias, offset = take(tensors, *keys, source=source)
    return {
        "W_enc": encoder.T.contiguous(),
        "W_dec": decoder.T.contiguous(),
        "b_enc": bias,
        "b_dec": offset,
    }


def _centred(parts: Parts, activation: Activation) -> Parts:
    return parts | {"activation": activation, "input_bias": parts["b_dec"]}


def _standard(tensors: Weights, source: str) -> Parts:
    if "bias" not in tensors and "decoder.bias" in tensors:
        # trainers write this class into the config of an AutoEncoderNew too
        return _april_update(tensors, source)
    return _centred(_linear(tensors, "encoder.bias", "bias", source), Relu())


def _april_update(tensors: Weights, source: str) -> Parts:
    return _linear(tensors, "encoder.bias", "decoder.bias", source) | {"activation": Relu()}


def _gated(tensors: Weights, source: str) -> Parts:
    gate, log_magnitude, magnitude = take(tensors, "gate_bias", "r_mag", "mag_bias", source=source)
    parts = _linear(tensors, "gate_bias", "decoder_bias", source)
    parts["b_enc"] = gate.new_zeros(gate.shape)
    return _centred(parts, Gated(gate, log_magnitude, magnitude))


def _topk(tensors: Weights, source: str) -> Parts:
    (k,) = take(tensors, "k", source=source)
    count = _whole_k(k, source)
    return _centred(_linear(tensors, "encoder.bias", "b_dec", source), TopK(count))


def _whole_k(k: Tensor, source: str) -> int:
    """Return the number of features that a token fires."""
    count = k.item() if k.numel() == 1 else None
    if isinstance(count, complex) or count is None or not 0 < count < 2**40 or count != int(count):
        raise SaeError(
            f"{source}: k of the weights is {str(k.tolist())[:40]}, expected the number of "
            "features a token fires; fetch the file again"
        )
    return int(count)


def _threshold(tensors: Weights, source: str) -> JumpRelu:
    (threshold,) = take(tensors, "threshold", source=source)
    if not threshold.numel() or not bool((threshold >= 0).all()):
        lowest = threshold.min().item() if threshold.numel() else -1
        raise SaeError(
            f"{source}: the inference threshold is {lowest:g}, so it was never "
            "trained and every positive latent would fire; train further, or use another SAE"
        )
    return JumpRelu(threshold)


def _batch_topk(tensors: Weights, source: str) -> Parts:
    parts = _linear(tensors, "encoder.bias", "b_dec", source)
    return _centred(parts, _threshold(tensors, source))


def _own_matrices(tensors: Weights, source: str) -> Parts:
    keys = ("W_enc", "b_enc", "W_dec", "b_dec")
    return dict(zip(keys, take(tensors, *keys, source=source), strict=True))


def _matryoshka(tensors: Weights, source: str) -> Parts:
    return _centred(_own_matrices(tensors, source), _threshold(tensors, source))


def _jumprelu(tensors: Weights, source: str) -> Parts:
    (threshold,) = take(tensors, "threshold", source=source)
    return _own_matrices(tensors, source) | {"activation": JumpRelu(threshold)}


CLASSES: Mapping[str, Callable[[Weights, str], Parts]] = {
    "AutoEncoder": _standard,
    "AutoEncoderNew": _april_update,
    "GatedAutoEncoder": _gated,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batch_topk,
    "JumpReluAutoEncoder": _jumprelu,
    "MatryoshkaBatchTopKSAE": _matryoshka,
}


def _recognises(files: SaeFiles) -> bool:
    if files.weights is not None:
        return files.weights.suffix == ".pt" and files.has(CONFIG)
    return files.has(CONFIG) and files.has(WEIGHTS)


def _recognises_published(files: SaeFiles) -> bool:
    return files.weights is not None and bool(_PUBLISHED.fullmatch(files.weights.name))


FORMAT = SaeFormat(
    name="dictionary_learning",
    files=f"`{WEIGHTS}`, `{CONFIG}`",
    loads=tuple(CLASSES),
    refuses=REFUSED,
    recognises=_recognises,
    load=load,
)
PUBLISHED = SaeFormat(
    name="the published experiment",
    files="`ae_layer{L}.pt`",
    loads=("gated",),
    refuses={},
    recognises=_recognises_published,
    load=load_published,
)
