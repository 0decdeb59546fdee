"""SAEs in SAELens's format, version 6 and later: ``cfg.json`` and ``sae_weights.safetensors``.

W_enc [hidden latent], W_dec [latent hidden].  BatchTopK and Matryoshka SAEs are saved as jumprelu
by the library itself.  Two things are folded into the weights here: decoder-norm rescaling of
topk, and the input scale of a training checkpoint (``activation_scaler.json``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pm_audit.errors import SaeError
from pm_audit.loading.options import Options
from pm_audit.loading.saes.format import CROSSCODER, SIGNED, TRANSCODER, SaeFiles, SaeFormat
from pm_audit.loading.saes.weights import Weights
from pm_audit.subject.activation import Activation, Gated, JumpRelu, Relu, TopK
from pm_audit.subject.sae import Normalisation, Sae

CONFIG, WEIGHTS, SCALER = "cfg.json", "sae_weights.safetensors", "activation_scaler.json"

_SCALED = "expected_average_only_in"
_NORMALISATIONS = {
    "none": Normalisation.NONE,
    _SCALED: Normalisation.NONE,  # a constant, folded at the end of training
    "layer_norm": Normalisation.LAYER_NORM,
    "constant_norm_rescale": Normalisation.CONSTANT_NORM,
}
_UNFINISHED = "it is a training checkpoint; save it with save_inference_model"
REFUSED: Mapping[str, str] = {
    "transcoder": TRANSCODER,
    "skip_transcoder": TRANSCODER,
    "jumprelu_transcoder": TRANSCODER,
    "jumprelu_skip_transcoder": TRANSCODER,
    "abstopk": SIGNED,
    "matching_pursuit": "its features are found by iteration, so no encoder can be replayed",
    "temporal": "its features depend on earlier tokens",
    "batchtopk": _UNFINISHED,
    "matryoshka_batchtopk": _UNFINISHED,
    "crosscoder": CROSSCODER,
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
"""Options that are applied here, or belong to the training of an SAE alone."""
FOR_TOPK = frozenset({"rescale_acts_by_decoder_norm"})

_LOADING = frozenset(
    {
        *("fold_ln", "fold_value_biases", "center_unembed", "refactor_factored_attn_matrices"),
        *("n_devices", "device", "device_map", "move_to_device", "dtype", "torch_dtype"),
        *("first_n_layers", "default_prepend_bos", "default_padding_side", "trust_remote_code"),
        *("low_cpu_mem_usage", "revision", "checkpoint_index", "checkpoint_value", "token"),
        *("attn_implementation", "cache_dir", "local_files_only", "use_safetensors", "n_ctx"),
    }
)
"""Options with which TransformerLens or transformers load the model, that leave its stream."""
_CENTRED = "center_writing_weights"
"""TransformerLens takes the mean over the hidden axis out of everything that writes to the stream
of a model with LayerNorm; it skips models of RMSNorm."""
_RMS_NORM = re.compile(
    r"gemma|llama|mistral|mixtral|qwen|vicuna|alpaca|deepseek|internlm|phi-?[34]|olmo-?2|(^|/)yi-|t5"
    r"|granite|smollm",
    re.IGNORECASE,
)


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


def _load(named: SaeFiles) -> Sae:
    files, path = named.located(WEIGHTS)
    config = read_config(files.config(CONFIG), files)
    sae = build(config, Weights.read(path, source=files.source), files)
    return _with_input_scale(sae, files) if config.normalisation == _SCALED else sae


def read_config(held: Mapping[str, Any], files: SaeFiles) -> Settings:
    """Return the configuration of version 6 and later, if every option of it is one that loads."""
    options = files.options(held, CONFIG)
    metadata = options.section("metadata")
    hook, hook_out = metadata.text("hook_name"), metadata.text("hook_name_out")
    if hook_out not in (None, hook):
        raise SaeError(
            f"{files.source}: reads {hook} and writes {hook_out}, so it is a transcoder; "
            "audits need an SAE that reconstructs what it reads"
        )
    refuse_heads({**held, **metadata.held}, files)
    architecture = options.text("architecture") or "standard"
    if architecture not in REFUSED:  # what is refused has options of its own
        known = KNOWN | FOR_TOPK if architecture == "topk" else KNOWN
        options.refuse_unknown(known, changes="features")
    topk = architecture == "topk" and options.held.get("k")
    return Settings(
        architecture=architecture,
        hidden=options.whole("d_in"),
        latent=options.whole("d_sae"),
        hook=hook,
        subtracts_decoder_bias=options.flag("apply_b_dec_to_input", default=True),
        normalisation=options.text("normalize_activations") or "none",
        reshape=options.text("reshape_activations") or "none",
        k=options.whole("k") if topk else None,
        rescales_by_decoder_norm=options.flag("rescale_acts_by_decoder_norm", default=False),
        centred=_reads_centred(options, metadata),
    )


def refuse_heads(held: Mapping[str, Any], files: SaeFiles) -> None:
    """Refuse an SAE of one attention head."""
    for key in ("hook_head_index", "hook_head_index_out", "hook_point_head_index"):
        if held.get(key) is not None:
            raise SaeError(
                f"{files.source}: {key} is set, so it reads one attention head; audits need an SAE "
                "of the residual stream"
            )


def _reads_centred(options: Options, metadata: Options) -> bool:
    """Whether the SAE read a stream less its mean, by how its model was loaded."""
    key = "model_from_pretrained_kwargs"
    kwargs = (metadata if key in metadata.held else options).section(key)
    kwargs.refuse_unknown(_LOADING | {_CENTRED}, changes="features")
    model = metadata.held.get("model_name")
    rms = isinstance(model, str) and _RMS_NORM.search(model)
    return kwargs.flag(_CENTRED, default=False) and not rms


def build(config: Settings, weights: Weights, files: SaeFiles, sha256: str | None = None) -> Sae:
    """Return the SAE of SAELens's weights; ``sha256`` replaces that of the files."""
    _refuse(config, files)
    layer = files.block(config.hook)
    encoder, decoder, decoder_bias = weights.take("W_enc", "W_dec", "b_dec")
    activation = _activation(config, weights)
    if config.architecture == "gated":
        bias = encoder.new_zeros(config.latent)
    else:
        (bias,) = weights.take("b_enc")
    weights.refuse_unread()
    if (config.latent, config.hidden) != tuple(decoder.shape):
        raise SaeError(
            f"{files.source}: W_dec is {list(decoder.shape)}, {CONFIG} says "
            f"[{config.latent}, {config.hidden}]; the config belongs to other weights"
        )
    notes: list[str] = []
    if config.rescales_by_decoder_norm and config.architecture == "topk":
        norms = decoder.norm(dim=-1)
        if encoder.shape != decoder.T.shape or bias.shape != norms.shape:
            raise SaeError(
                f"{files.source}: W_enc or b_enc does not fit W_dec; fetch the SAE again"
            )
        encoder, bias, decoder = encoder * norms, bias * norms, decoder / norms[:, None]
        notes.append("decoder norms folded into the encoder")
    if config.normalisation == _SCALED and not files.has(SCALER):
        notes.append("input scale taken to be folded into the weights, as SAELens does")
    if config.centred:
        notes.append("reads the stream less its mean, as TransformerLens centres it")
    return files.sae(
        layer=layer,
        architecture=config.architecture,
        sha256=sha256,
        W_enc=encoder,
        b_enc=bias,
        W_dec=decoder,
        b_dec=decoder_bias,
        activation=activation,
        input_bias=decoder_bias if config.subtracts_decoder_bias else None,
        normalisation=_NORMALISATIONS[config.normalisation],
        centred=config.centred,
        notes=tuple(notes),
    )


def _refuse(config: Settings, files: SaeFiles) -> None:
    kind, loads = config.architecture, f"these load: {', '.join(FORMAT.loads)}"
    if reason := REFUSED.get(kind):
        raise SaeError(f"{files.source}: {kind} is refused: {reason}; {loads}")
    if kind not in FORMAT.loads:
        raise SaeError(f"{files.source}: architecture {kind!r} is unknown; {loads}")
    if config.reshape != "none":
        raise SaeError(
            f"{files.source}: reshapes {config.reshape} activations, so it reads attention heads; "
            "audits need an SAE of the residual stream"
        )
    if config.normalisation not in _NORMALISATIONS:
        raise SaeError(
            f"{files.source}: normalize_activations {config.normalisation!r} keeps its statistics "
            "outside the weights; fold it with sae-lens and save again"
        )


def _activation(config: Settings, weights: Weights) -> Activation:
    match config.architecture:
        case "jumprelu":
            return JumpRelu(*weights.take("threshold"))
        case "gated":
            return Gated(*weights.take("b_gate", "r_mag", "b_mag"))
        case "topk":
            if config.k is None or config.k > config.latent:
                raise SaeError(
                    f"{weights.source}: topk needs k from 1 to {config.latent} in {CONFIG}; fetch "
                    "the original file"
                )
            return TopK(config.k)
        case _:
            return Relu()


def _with_input_scale(sae: Sae, files: SaeFiles) -> Sae:
    """Fold the fixed input scale of a training checkpoint into the weights."""
    if not files.has(SCALER):
        return sae
    scaler = files.options(files.config(SCALER), SCALER)
    scaler.refuse_unknown({"scaling_factor"}, changes="features")
    factor = scaler.number("scaling_factor", 1.0, positive=True)
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


def is_flat(files: SaeFiles) -> bool | None:
    """Whether the configuration is of an older version; None for another format's files."""
    if not files.has(CONFIG) or files.weights_file(WEIGHTS) is None:
        return None
    return "metadata" not in files.config(CONFIG)


FORMAT = SaeFormat(
    name="SAELens 6 and later",
    files=f"`{CONFIG}`, `{WEIGHTS}`",
    loads=("standard", "gated", "jumprelu", "topk"),
    refuses=REFUSED,
    recognises=lambda files: is_flat(files) is False,
    load=_load,
)
