"""SAEs in SAELens's format before version 6: the same files with a flat configuration.

The configuration is brought to the later form; a finetuning scale, which multiplied the features
before decoding, is folded into the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.loading.saes import sae_lens
from pm_audit.loading.saes.format import SaeFiles, SaeFormat
from pm_audit.loading.saes.weights import Weights
from pm_audit.subject.sae import Sae

_SCALES = ("finetuning_scaling_factor", "scaling_factor")
_LOGGING = ("wandb_", "log_", "lr_", "resample_", "feature_", "dead_feature_", "eval_", "n_eval_")
"""Prefixes of options of logging and of the course of training."""
KNOWN = frozenset(
    {
        *("hook_point", "hook_name", "hook_point_layer", "hook_layer", "hook_name_out"),
        *("hook_point_head_index", "hook_layer_out", "hook_eval", "d_out", "activation_fn"),
        *("activation_fn_str", "activation_fn_kwargs", "finetuning_scaling_factor"),
        *("finetuning_tokens", "finetuning_method", "finetune_tokens", "finetune_method"),
        *("model_name", "model_class_name", "model_kwargs", "prepend_bos", "dataset_path"),
        *("dataset_trust_remote_code", "is_dataset_tokenized", "streaming", "context_size"),
        *("use_cached_activations", "cached_activations_path", "from_pretrained_path"),
        *("exclude_special_tokens", "disable_concat_sequences", "sequence_separator_token"),
        *("seqpos", "seqpos_slice", "neuronpedia_id", "sae_lens_version", "expansion_factor"),
        *("n_batches_in_buffer", "training_tokens", "total_training_tokens", "tokens_per_buffer"),
        *("total_training_steps", "store_batch_size", "store_batch_size_prompts"),
        *("train_batch_size", "train_batch_size_tokens", "n_restart_cycles", "seed", "lr"),
        *("act_store_device", "llm_device", "autocast", "autocast_lm", "compile_llm"),
        *("compile_sae", "llm_compilation_mode", "sae_compilation_mode", "adam_beta1"),
        *("adam_beta2", "use_ghost_grads", "mse_loss_normalization", "b_dec_init_method"),
        *("decoder_orthogonal_init", "decoder_heuristic_init", "decoder_heuristic_init_norm"),
        *("init_encoder_as_decoder_transpose", "normalize_sae_decoder", "noise_sigma"),
        *("scale_sparsity_penalty_by_decoder_norm", "l1_warm_up_steps", "n_checkpoints"),
        *("checkpoint_path", "save_final_checkpoint", "output_path", "resume"),
        *("resume_from_checkpoint", "run_name", "unique_id", "verbose", "name", "logger"),
        *("n_batches_for_norm_estimate", "activations_mixing_fraction", "prefetch_llm_batches"),
        *("use_chat_formatting", "n_running_sparsity_steps", "start_training_step"),
    }
)
"""Options of old configurations that are applied here, or belong to training, data or logs."""


def _load(named: SaeFiles) -> Sae:
    files, path = named.located(sae_lens.WEIGHTS)
    old = files.config(sae_lens.CONFIG)
    config = sae_lens.read_config(_current(old, files), files)
    weights = Weights.read(path, source=files.source)
    scale = _scale(weights, config.latent)
    sae = sae_lens.build(config, weights, files)
    if scale is None or torch.allclose(scale, torch.ones_like(scale)):
        return sae
    if old.get("finetuning_scaling_factor") is not True:
        raise SaeError(
            f"{files.source}: holds a scaling_factor other than 1 that its config does not "
            "mention; save the SAE again without it, or set finetuning_scaling_factor"
        )
    return replace(
        sae,
        W_dec=sae.W_dec * scale[:, None],
        notes=(*sae.notes, "finetuning scale folded into the decoder"),
    )


def _scale(weights: Weights, latent: int) -> Tensor | None:
    """Return what multiplied the features before decoding, if the file holds it."""
    scales = [weights.held.pop(key) for key in _SCALES if key in weights]
    if any(tuple(scale.shape) != (latent,) or not _finite(scale) for scale in scales):
        raise SaeError(
            f"{weights.source}: its scaling factor is not one number for each of {latent} latents; "
            "fetch the SAE's own weights"
        )
    if len(scales) > 1 and not torch.equal(*scales):
        raise SaeError(
            f"{weights.source}: holds two scaling factors that differ; keep the right one"
        )
    return scales[0] if scales else None


def _finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.isfinite().all())


def _current(old: Mapping[str, Any], files: SaeFiles) -> dict[str, Any]:
    """Return a flat configuration in the form of version 6."""
    source = files.source
    numbers = {key: value for key, value in old.items() if not key.startswith(_LOGGING)}
    options = files.options(numbers, sae_lens.CONFIG)
    options.refuse_unknown(sae_lens.KNOWN | KNOWN, changes="features")
    sae_lens.refuse_heads(old, files)
    if old.get("d_out") not in (None, old.get("d_in")):
        raise SaeError(
            f"{source}: d_out is another width than d_in, so it is a transcoder; audits need an "
            "SAE that reconstructs what it reads"
        )
    function = old.get("activation_fn", old.get("activation_fn_str", "relu"))
    if function not in ("relu", "topk"):
        raise SaeError(
            f"{source}: activation function {str(function)[:40]!r} is refused: its features need "
            "not be zero or positive; use an SAE with relu, jumprelu or topk"
        )
    arguments = options.section("activation_fn_kwargs")
    arguments.refuse_unknown({"k"}, changes="features")
    normalises = old.get("normalize_activations")
    if isinstance(normalises, bool):
        normalises = "expected_average_only_in" if normalises else "none"
    hook = old.get("hook_name", old.get("hook_point"))
    kept = ("d_in", "d_sae", "apply_b_dec_to_input", "model_from_pretrained_kwargs")
    return {
        **{key: old.get(key) for key in kept},
        "architecture": "topk" if function == "topk" else old.get("architecture", "standard"),
        "k": arguments.held.get("k"),
        "normalize_activations": normalises,
        "reshape_activations": old.get(
            "reshape_activations", "hook_z" if "hook_z" in str(hook) else "none"
        ),
        "metadata": {
            "hook_name": hook,
            "hook_name_out": old.get("hook_name_out"),
            "model_name": old.get("model_name"),
        },
    }


FORMAT = SaeFormat(
    name="SAELens before 6",
    files=f"`{sae_lens.CONFIG}` (flat), `{sae_lens.WEIGHTS}`",
    loads=sae_lens.FORMAT.loads,
    refuses={**sae_lens.REFUSED, "tanh-relu": "its features need not be zero or positive"},
    recognises=lambda files: sae_lens.is_flat(files) is True,
    load=_load,
)
