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
from pm_audit.loading.saes.format import SaeFiles, SaeFormat, read_safetensors
from pm_audit.loading.saes.options import refuse_unknown
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
"""Options of old configurations that are done here, or belong to training, data or logs."""


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
    scales = [tensors.pop(key) for key in _SCALES if key in tensors]
    scale = scales[0] if scales else None
    if any(tuple(one.shape) != (settings.latent,) or not _finite(one) for one in scales):
        raise SaeError(
            f"{files.source}: its scaling factor is no number for each of {settings.latent} "
            "latents; fetch the SAE's own weights"
        )
    if len(scales) > 1 and not torch.equal(*scales):
        raise SaeError(f"{files.source}: holds two scaling factors that differ; keep the right one")
    sae = sae_lens.build(settings, tensors, files)
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


def _finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.isfinite().all())


def current(old: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return a flat configuration in the form of version 6.

    Raises:
        SaeError: its activation function is none that features can have.

    """
    place = {"source": source, "where": sae_lens.CONFIG}
    refuse_unknown(
        {key: value for key, value in old.items() if not key.startswith(_LOGGING)},
        sae_lens.KNOWN | KNOWN,
        **place,
    )
    for head in ("hook_point_head_index", "hook_head_index"):
        if old.get(head) is not None:
            raise SaeError(
                f"{source}: {head} is set, so it reads one attention head; audits need an SAE of "
                "the residual stream"
            )
    if old.get("d_out") not in (None, old.get("d_in")):
        raise SaeError(
            f"{source}: d_out is another width than d_in, so it is a transcoder; audits need an "
            "SAE that reconstructs what it reads"
        )
    function = old.get("activation_fn", old.get("activation_fn_str", "relu"))
    options = old.get("activation_fn_kwargs") or {}
    if not isinstance(options, Mapping):
        raise SaeError(f"{source}: activation_fn_kwargs is no object; fetch the SAE's own files")
    refuse_unknown(options, {"k"}, source=source, where="activation_fn_kwargs")
    architecture = old.get("architecture", "standard")
    if function == "topk":
        architecture = "topk"
    elif function != "relu":
        raise SaeError(
            f"{source}: activation function {str(function)[:40]!r} is refused: its features need "
            "not be zero or positive; use an SAE with relu, jumprelu or topk"
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
        "metadata": {
            "hook_name": hook,
            "hook_name_out": old.get("hook_name_out"),
            "model_name": old.get("model_name"),
            "model_from_pretrained_kwargs": old.get("model_from_pretrained_kwargs"),
        },
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
