"""SAEs of dictionary_learning (``ae.pt``, ``config.json``) and of the published experiment.

Weights of linear layers lie transposed against W_enc and W_dec: encoder.weight [latent hidden],
decoder.weight [hidden latent].  A finished run has its biases scaled to raw activations; the
checkpoint of an interrupted one (``{step, ae, norm_factor, ...}``) has not, and is scaled here.
The published experiment's ``ae_layer{L}.pt`` holds the gated class without a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.loading.options import Options
from pm_audit.loading.saes.format import CROSSCODER, TRANSCODER, SaeFiles, SaeFormat
from pm_audit.loading.saes.hook import block_of_hook
from pm_audit.loading.saes.weights import Weights
from pm_audit.loading.tensors import unpickled
from pm_audit.subject.activation import Gated, JumpRelu, Relu, TopK
from pm_audit.subject.sae import Sae

CONFIG, WEIGHTS = "config.json", "ae.pt"
_PUBLISHED = re.compile(r"ae_layer(\d{1,4})\.pt")
REFUSED: Mapping[str, str] = {
    "transcoder": TRANSCODER,
    "BatchTopK without a threshold": "its inference threshold was never trained (-1)",
    "CrossCoder": CROSSCODER,
}
WITH_K = frozenset({"AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"})
UNUSED: Mapping[str, tuple[str, ...]] = {
    "AutoEncoder": ("decoder.bias",),
    "AutoEncoderTopK": ("threshold",),
    "BatchTopKSAE": ("k",),
    "MatryoshkaBatchTopKSAE": ("k", "group_sizes"),
}
"""Tensors that a class saves, and encodes without."""
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
DESCRIPTIVE = frozenset({"trainer", "buffer", "lm_name", "layer", "dataset", "name", "version"})
"""Sections of a configuration, and what else only describes it."""

Parts = dict[str, Any]
"""Arguments of ``SaeFiles.sae`` that depend on the class of the dictionary."""


def _load(named: SaeFiles) -> Sae:
    trainer, buffer = _sections(named.options(named.config(CONFIG), CONFIG))
    files, path = named.located(WEIGHTS)
    kind = str(trainer.held.get("dict_class"))[:80]
    if kind not in CLASSES:
        reason = f": {REFUSED[kind]}" if kind in REFUSED else ""
        raise SaeError(
            f"{named.source}: dict_class {kind!r} does not load{reason}; these do: "
            f"{', '.join(CLASSES)}"
        )
    weights, notes = _read(path, source=named.source)
    layer = _block(files, trainer, buffer)
    if kind in WITH_K and trainer.held.get("k") is not None:
        k = trainer.whole("k")
        if _whole_k(weights.held.setdefault("k", torch.tensor(k)), weights.source) != k:
            raise SaeError(
                f"{named.source}: k is {k} in {CONFIG} and {int(weights.held['k'])} in the "
                "weights; fetch both again"
            )
    parts = CLASSES[kind](weights)
    weights.refuse_unread(*UNUSED.get(kind, ()))
    return _assemble(files, layer, kind, parts, notes)


def _load_published(files: SaeFiles) -> Sae:
    """Load ``ae_layer{L}.pt`` of the published experiment: gated, after block L."""
    named = files.weights and _PUBLISHED.fullmatch(files.weights.name)
    if not files.weights or not named:
        raise SaeError(f"{files.source}: name the file ae_layer{{L}}.pt itself")
    weights, notes = _read(files.weights, source=files.source)
    parts = _gated(weights)
    weights.refuse_unread()
    layer = int(named[1]) if files.layer is None else files.layer
    return _assemble(files, layer, "gated", parts, notes)


def _assemble(files: SaeFiles, layer: int, kind: str, parts: Parts, notes: tuple[str, ...]) -> Sae:
    latents, activation = len(parts["W_dec"]), parts["activation"]
    if isinstance(activation, TopK) and activation.k > latents:
        raise SaeError(
            f"{files.source}: k is {activation.k}, more than the {latents} latents; fetch it again"
        )
    return files.sae(layer=layer, architecture=kind, notes=notes, **parts)


def _sections(config: Options) -> tuple[Options, Options]:
    if not isinstance(config.held.get("trainer"), dict):
        raise config.wrong("trainer", "the options of a trainer, dict_class among them")
    trainer, buffer = config.section("trainer"), config.section("buffer")
    for options, known in ((config, DESCRIPTIVE), (trainer, TRAINER), (buffer, BUFFER)):
        options.refuse_unknown(known, changes="features")
    if buffer.held.get("io") == "in_and_out":
        raise SaeError(
            f"{config.source}: trained on inputs and outputs of a module, so it is a transcoder; "
            "audits need an SAE that reconstructs what it reads"
        )
    return trainer, buffer


def _block(files: SaeFiles, trainer: Options, buffer: Options) -> int:
    """Return the block whose output is read.

    Raises:
        SaeError: nothing says it, or the name says an output and ``io`` an input.

    """
    named, layer = trainer.text("submodule_name"), trainer.held.get("layer")
    if layer is not None and (isinstance(layer, bool) or not isinstance(layer, int)):
        raise SaeError(
            f"{files.source}: {CONFIG} says layer is {str(layer)[:40]}, expected a number; name "
            f"it: {files.source}@LAYER, the block after which it reads, counted from 0"
        )
    hook = named or (None if layer is None else f"layer_{layer}")
    if files.layer is not None or hook is None or buffer.held.get("io") != "in":
        return files.block(hook)
    if "resid_post" in hook:
        raise SaeError(
            f"{files.source}: {CONFIG} says that it reads an input (io: in) and an output "
            f"({hook[:80]!r}); name the right one: {files.source}@LAYER, the block after which it "
            "reads, counted from 0"
        )
    number = layer if layer is not None else block_of_hook(hook, source=files.source)
    return files.block(f"blocks.{number}.hook_resid_pre")


def _read(path: Path, *, source: str) -> tuple[Weights, tuple[str, ...]]:
    """Return the weights with biases on the scale of raw activations, and notes."""
    held = unpickled(path, error=SaeError)
    if not (isinstance(held, dict) and "ae" in held and "step" in held):
        return Weights(held, source=source), ()
    weights, factor = Weights(held["ae"], source=source), held.get("norm_factor")
    if factor is None:
        return weights, ("checkpoint of an interrupted run",)
    if isinstance(factor, Tensor) and factor.numel() == 1:
        factor = factor.item()
    checkpoint = Options({"norm_factor": factor}, source, "the checkpoint", SaeError)
    factor = checkpoint.number("norm_factor", 1.0, positive=True)
    weights.held = {key: _scaled(key, value, factor) for key, value in weights.held.items()}
    return weights, (f"checkpoint of an interrupted run: biases scaled by {factor:g}",)


def _scaled(key: str, value: Tensor, factor: float) -> Tensor:
    # r_mag is the logarithm of a ratio, so the scale of the activations leaves it as it is
    bias = key.endswith("bias") or key in {"b_enc", "b_dec", "threshold"}
    # other dtypes are refused later, as they are stored
    return value * factor if bias and value.dtype in (torch.float32, torch.float64) else value


def _linear(weights: Weights, decoder_bias: str, encoder_bias: str = "encoder.bias") -> Parts:
    keys = ("encoder.weight", "decoder.weight", encoder_bias, decoder_bias)
    encoder, decoder, bias, offset = weights.take(*keys)
    return {"W_enc": encoder.T, "W_dec": decoder.T, "b_enc": bias, "b_dec": offset}


def _matrices(weights: Weights) -> Parts:
    keys = ("W_enc", "b_enc", "W_dec", "b_dec")
    return dict(zip(keys, weights.take(*keys), strict=True))


def _centred(parts: Parts) -> Parts:
    return parts | {"input_bias": parts["b_dec"]}


def _standard(weights: Weights) -> Parts:
    if "bias" not in weights and "decoder.bias" in weights:
        # trainers write this class into the config of an AutoEncoderNew too
        return _april_update(weights)
    return _centred(_linear(weights, "bias")) | {"activation": Relu()}


def _april_update(weights: Weights) -> Parts:
    return _linear(weights, "decoder.bias") | {"activation": Relu()}


def _gated(weights: Weights) -> Parts:
    gate, log_magnitude, magnitude = weights.take("gate_bias", "r_mag", "mag_bias")
    parts = _centred(_linear(weights, "decoder_bias", "gate_bias"))
    zeros = gate.new_zeros(gate.shape)
    return parts | {"b_enc": zeros, "activation": Gated(gate, log_magnitude, magnitude)}


def _topk(weights: Weights) -> Parts:
    (k,) = weights.take("k")
    parts = _linear(weights, "b_dec")
    return _centred(parts) | {"activation": TopK(_whole_k(k, weights.source))}


def _whole_k(k: Tensor, source: str) -> int:
    """Return the number of features that are active at a token."""
    count = k.item() if k.numel() == 1 else None
    if isinstance(count, complex) or count is None or not 0 < count < 2**40 or count != int(count):
        raise SaeError(
            f"{source}: k of the weights is {str(k.tolist())[:40]}, expected the number of "
            "features that are active at a token; fetch the file again"
        )
    return int(count)


def _trained_threshold(weights: Weights) -> JumpRelu:
    (threshold,) = weights.take("threshold")
    if not threshold.numel() or not bool((threshold >= 0).all()):
        lowest = threshold.min().item() if threshold.numel() else -1
        raise SaeError(
            f"{weights.source}: the inference threshold is {lowest:g}, so it was never trained and "
            "every positive latent would be active; train further, or use another SAE"
        )
    return JumpRelu(threshold)


def _batch_topk(weights: Weights) -> Parts:
    return _centred(_linear(weights, "b_dec")) | {"activation": _trained_threshold(weights)}


def _matryoshka(weights: Weights) -> Parts:
    return _centred(_matrices(weights)) | {"activation": _trained_threshold(weights)}


def _jumprelu(weights: Weights) -> Parts:
    return _matrices(weights) | {"activation": JumpRelu(*weights.take("threshold"))}


CLASSES: Mapping[str, Callable[[Weights], Parts]] = {
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


FORMAT = SaeFormat(
    name="dictionary_learning",
    files=f"`{WEIGHTS}`, `{CONFIG}`",
    loads=tuple(CLASSES),
    refuses=REFUSED,
    recognises=_recognises,
    load=_load,
)
PUBLISHED = SaeFormat(
    name="the published experiment",
    files="`ae_layer{L}.pt`",
    loads=("gated",),
    refuses={},
    recognises=lambda files: (
        files.weights is not None and bool(_PUBLISHED.fullmatch(files.weights.name))
    ),
    load=_load_published,
)
