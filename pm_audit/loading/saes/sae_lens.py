"""SAEs in SAELens's format, version 6 and later: ``cfg.json`` and ``sae_weights.safetensors``.

W_enc [hidden latent], W_dec [latent hidden].  BatchTopK and Matryoshka SAEs are saved as jumprelu
by the library itself.  Two things are folded into the weights here: decoder-norm rescaling of
topk, and the input scale of a training checkpoint (``activation_scaler.json``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import (
    SaeFiles,
    SaeFormat,
    read_safetensors,
    refuse_square,
    refuse_unread,
    take,
)
from pm_audit.loading.saes.options import flag, positive, reads_centred, refuse_unknown, text, whole
from pm_audit.subject.activation import Activation, Gated, JumpRelu, Relu, TopK
from pm_audit.subject.sae import Normalisation, Sae

CONFIG, WEIGHTS, SCALER = "cfg.json", "sae_weights.safetensors", "activation_scaler.json"

_NORMALISATIONS = {
    "none": Normalisation.NONE,
    "expected_average_only_in": Normalisation.NONE,  # a constant, folded at the end of training
    "layer_norm": Normalisation.LAYER_NORM,
    "constant_norm_rescale": Normalisation.CONSTANT_NORM,
}
REFUSED: Mapping[str, str] = {
    "transcoder": "a transcoder predicts another place than it reads",
    "skip_transcoder": "a transcoder predicts another place than it reads",
    "jumprelu_transcoder": "a transcoder predicts another place than it reads",
    "jumprelu_skip_transcoder": "a transcoder predicts another place than it reads",
    "abstopk": "its features are signed, and a contribution needs features of one sign",
    "matching_pursuit": "its features are found by iteration, so no encoder can be replayed",
    "temporal": "its features depend on earlier tokens",
    "batchtopk": "it is a training checkpoint; save it with save_inference_model",
    "matryoshka_batchtopk": "it is a training checkpoint; save it with save_inference_model",
    "crosscoder": "it reads several places at once",
    "clt": "a cross-layer transcoder writes to other layers than it reads",
}


KNOWN = frozenset(
    {
        *("architecture", "d_in", "d_sae", "metadata", "apply_b_dec_to_input"),
        *("normalize_activations", "reshape_activations", "model_from_pretrained_kwargs"),
        *("dtype", "device", "k", "decoder_init_norm", "l1_coefficient", "lp_norm"),
        *("l1_warm_up_steps", "use_sparse_activations", "aux_loss_coefficient"),
        *("topk_threshold_lr", "jumprelu_init_threshold", "jumprelu_bandwidth"),
        *("jumprelu_sparsity_loss_mode", "l0_coefficient", "l0_warm_up_steps", "target_l0"),
        *("pre_act_loss_coefficient", "jumprelu_tanh_scale", "jumprelu_ste_to_input"),
        *("matryoshka_widths", "use_matryoshka_aux_loss", "hook_head_index"),
        *("sae_lens_version", "sae_lens_training_version", "hook_head_index_out"),
    }
)
"""Options that are done here, or belong to the training of an SAE alone."""
FOR_TOPK = frozenset({"rescale_acts_by_decoder_norm"})
_TENSORS = frozenset({"W_enc", "W_dec", "b_dec"})
_OF: Mapping[str, frozenset[str]] = {
    "standard": frozenset({"b_enc"}),
    "topk": frozenset({"b_enc"}),
    "jumprelu": frozenset({"b_enc", "threshold"}),
    "gated": frozenset({"b_gate", "b_mag", "r_mag"}),
}


@dataclass(frozen=True)
class Settings:
    """What the configuration says that changes figures."""

    architecture: str
    hidden: int
    latent: int
    hook: str | None
    subtracts_decoder_bias: bool
    normalisation: str
    reshape: str
    k: int | None
    rescales_by_decoder_norm: bool
    centred: bool
    """Whether the model's writing weights were centred when it was trained."""


def load(files: SaeFiles) -> Sae:
    """Load the SAE.

    Raises:
        SaeError: it is refused, or its weights do not fit its configuration.

    """
    config = files.config(CONFIG)
    weights = files.weights_file(WEIGHTS)
    if weights is None:
        raise SaeError(f"{files.source}: {WEIGHTS} is missing beside {CONFIG}; fetch it too")
    files = files.at_weights(weights)
    settings = read_settings(config, source=files.source)
    sae = build(settings, read_safetensors(weights), files)
    scaled = settings.normalisation == "expected_average_only_in" and files.has(SCALER)
    return _with_input_scale(sae, files) if scaled else sae


def read_settings(config: Mapping[str, Any], *, source: str) -> Settings:
    """Read a configuration of version 6 and later.

    Raises:
        SaeError: a field is missing or of another type, or the SAE is a transcoder.

    """
    place: dict[str, str] = {"source": source, "where": CONFIG}
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise SaeError(f"{source}: metadata of {CONFIG} is no object; fetch the SAE's own files")
    hook = text(metadata, "hook_name", **place)
    hook_out = text(metadata, "hook_name_out", **place)
    if hook_out is not None and hook_out != hook:
        raise SaeError(
            f"{source}: reads {hook} and writes {hook_out}, so it is a transcoder; "
            "audits need an SAE that reconstructs what it reads"
        )
    for head in ("hook_head_index", "hook_head_index_out"):
        if metadata.get(head, config.get(head)) is not None:
            raise SaeError(
                f"{source}: {head} is set, so it reads one attention head; audits need an SAE of "
                "the residual stream"
            )
    architecture = text(config, "architecture", **place) or "standard"
    if architecture not in REFUSED:  # what is refused has options of its own
        known = KNOWN | (FOR_TOPK if architecture == "topk" else frozenset())
        refuse_unknown(config, known, **place)
    kwargs = config.get("model_from_pretrained_kwargs")
    kwargs = metadata.get("model_from_pretrained_kwargs", kwargs)
    return Settings(
        architecture=architecture,
        hidden=whole(config, "d_in", **place),
        latent=whole(config, "d_sae", **place),
        hook=hook,
        subtracts_decoder_bias=flag(config, "apply_b_dec_to_input", default=True, **place),
        normalisation=text(config, "normalize_activations", **place) or "none",
        reshape=text(config, "reshape_activations", **place) or "none",
        k=whole(config, "k", **place) if architecture == "topk" and config.get("k") else None,
        rescales_by_decoder_norm=flag(
            config, "rescale_acts_by_decoder_norm", default=False, **place
        ),
        centred=reads_centred(kwargs, metadata.get("model_name"), **place),
    )


def build(
    settings: Settings,
    tensors: Mapping[str, Tensor],
    files: SaeFiles,
    *,
    sha256: str | None = None,
) -> Sae:
    """Bring SAELens weights to the common form; ``sha256`` stands in for that of the files.

    Raises:
        SaeError: the SAE is refused by name, or weights are missing or misshapen.

    """
    source = files.source
    _refuse(settings, source=source)
    layer = files.block(settings.hook)
    encoder, decoder, decoder_bias = take(tensors, "W_enc", "W_dec", "b_dec", source=source)
    gated = settings.architecture == "gated"
    activation = _activation(settings, tensors, source=source)
    refuse_unread(tensors, _TENSORS | _OF[settings.architecture], source=source)
    notes: list[str] = []
    if (settings.latent, settings.hidden) != tuple(decoder.shape):
        raise SaeError(
            f"{source}: W_dec is {list(decoder.shape)}, {CONFIG} says "
            f"[{settings.latent}, {settings.hidden}]; the config belongs to other weights"
        )
    bias = encoder.new_zeros(settings.latent) if gated else take(tensors, "b_enc", source=source)[0]
    if settings.architecture == "topk" and settings.rescales_by_decoder_norm:
        norms = decoder.norm(dim=-1)
        if tuple(encoder.shape) != tuple(decoder.T.shape) or bias.shape != norms.shape:
            raise SaeError(f"{source}: W_enc or b_enc does not fit W_dec; fetch the SAE again")
        encoder, bias, decoder = encoder * norms, bias * norms, decoder / norms[:, None]
        notes.append("decoder norms folded into the encoder")
    if settings.normalisation == "expected_average_only_in" and not files.has(SCALER):
        notes.append("input scale taken to be folded into the weights, as SAELens does")
    if settings.centred:
        notes.append("reads the stream less its mean, as TransformerLens centres it")
    return Sae(
        name=files.name,
        layer=layer,
        architecture=settings.architecture,
        source=source,
        sha256=sha256 or files.sha256(),
        W_enc=encoder,
        b_enc=bias,
        W_dec=decoder,
        b_dec=decoder_bias,
        activation=activation,
        input_bias=decoder_bias if settings.subtracts_decoder_bias else None,
        normalisation=_NORMALISATIONS[settings.normalisation],
        centred=settings.centred,
        notes=tuple(notes),
    )


def _refuse(settings: Settings, *, source: str) -> None:
    if reason := REFUSED.get(settings.architecture):
        raise SaeError(
            f"{source}: {settings.architecture} is refused: {reason}; "
            f"these load: {', '.join(FORMAT.loads)}"
        )
    if settings.architecture not in FORMAT.loads:
        raise SaeError(
            f"{source}: architecture {settings.architecture!r} is unknown; "
            f"these load: {', '.join(FORMAT.loads)}"
        )
    if settings.reshape != "none":
        raise SaeError(
            f"{source}: reshapes {settings.reshape} activations, so it reads attention heads; "
            "audits need an SAE of the residual stream"
        )
    if settings.normalisation not in _NORMALISATIONS:
        raise SaeError(
            f"{source}: normalize_activations {settings.normalisation!r} keeps its statistics "
            "outside the weights; fold it with sae-lens and save again"
        )
    refuse_square(settings.hidden, settings.latent, source=source)


def _activation(settings: Settings, tensors: Mapping[str, Tensor], *, source: str) -> Activation:
    match settings.architecture:
        case "jumprelu":
            return JumpRelu(*take(tensors, "threshold", source=source))
        case "gated":
            return Gated(*take(tensors, "b_gate", "r_mag", "b_mag", source=source))
        case "topk":
            if settings.k is None or settings.k > settings.latent:
                raise SaeError(f"{source}: topk needs k from 1 to {settings.latent} in {CONFIG}")
            return TopK(settings.k)
        case _:
            return Relu()


def _with_input_scale(sae: Sae, files: SaeFiles) -> Sae:
    """Fold the fixed input scale of a training checkpoint into the weights."""
    scaler = files.config(SCALER)
    refuse_unknown(scaler, {"scaling_factor"}, source=files.source, where=SCALER)
    if scaler.get("scaling_factor") is None:
        return sae
    factor = positive(scaler["scaling_factor"], f"scaling_factor of {SCALER}", source=files.source)
    if factor == 1:
        return sae
    return replace(
        sae,
        W_enc=sae.W_enc * factor,
        W_dec=sae.W_dec / factor,
        b_dec=sae.b_dec / factor,
        input_bias=None if sae.input_bias is None else sae.input_bias / factor,
        notes=(*sae.notes, f"input scale {factor:g} of the checkpoint folded into the weights"),
    )


def _recognises(files: SaeFiles) -> bool:
    return (
        files.has(CONFIG)
        and files.weights_file(WEIGHTS) is not None
        and "metadata" in files.config(CONFIG)
    )


FORMAT = SaeFormat(
    name="SAELens 6 and later",
    files=f"`{CONFIG}`, `{WEIGHTS}`",
    loads=("standard", "gated", "jumprelu", "topk"),
    refuses=REFUSED,
    recognises=_recognises,
    load=load,
)
