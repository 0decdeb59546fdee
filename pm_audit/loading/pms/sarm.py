"""SARM (2508.08746): the reward is linear in the SAE latents of an inner layer.

The body ends at the source layer; the head standardises the last token's stream, encodes it with
the SAE inside the checkpoint, keeps the k largest latents, and weighs them by ``score``.  A
latent adds exactly its activation times its weight: an oracle for attribution.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.pms.bare_backbone import body_config, load_body, load_with_head
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.subject.preference_model import PreferenceModel

_EPSILON = 1e-5
_SAE = ("pre_bias", "latent_bias", "encoder.weight")
_READ = (*(f"sae.{name}" for name in (*_SAE, "decoder.weight", "stats_last_nonzero")), "score.")
"""The SAE's decoder and statistics served its training; no reward reads them."""
_LAYER = re.compile(r"(?:model\.)?layers\.(\d{1,4})\.")


class LatentHead(nn.Module):
    """Reward is ``score`` of the latents of the standardised hidden state."""

    def __init__(self, weights: dict[str, Tensor], score: dict[str, Tensor], k: int | None) -> None:
        super().__init__()
        self.k = k
        self.pre_bias = nn.Parameter(weights["pre_bias"].float())
        self.latent_bias = nn.Parameter(weights["latent_bias"].float())
        self.encoder = nn.Parameter(weights["encoder.weight"].float())
        self.score = nn.Parameter(score["weight"].float().reshape(-1))
        self.bias = nn.Parameter(score.get("bias", torch.zeros(1)).float().reshape(-1))

    def latents(self, hidden: Tensor) -> Tensor:
        """Return latents [row latent] of hidden states [row hidden]; at most k are active."""
        centred = hidden - hidden.mean(dim=-1, keepdim=True)
        standardised = centred / (centred.std(dim=-1, keepdim=True) + _EPSILON)
        pre = (standardised - self.pre_bias) @ self.encoder.T + self.latent_bias
        if self.k is None:
            return pre
        top = pre.topk(self.k, dim=-1)
        return torch.zeros_like(pre).scatter(-1, top.indices, top.values)

    def contributions(self, hidden: Tensor) -> Tensor:
        """Return what each latent adds to the reward, [row latent], exactly."""
        return self.latents(hidden) * self.score

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row]."""
        return self.contributions(hidden).sum(dim=-1) + self.bias


def _load(request: Request) -> PreferenceModel:
    checkpoint, options = request.checkpoint, request.checkpoint.options
    sae = checkpoint.tensors("sae.", wanted=set(_SAE))
    score = checkpoint.tensors("score.", wanted={"weight", "bias"})
    missing = [f"sae.{name}" for name in _SAE if name not in sae]
    missing += [] if "weight" in score else ["score.weight"]
    if missing:
        raise ModelError(f"{checkpoint.name}: the checkpoint lacks {', '.join(missing)}; fetch it")
    _refuse_misshapen(checkpoint, sae, score)
    config = body_config(checkpoint)
    config.num_hidden_layers = options.whole("sae_hidden_state_source_layer")
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]
    topk = options.flag("sarm_use_topk", default=True)
    k = options.whole("sae_k", most=len(sae["latent_bias"])) if topk else None
    return load_with_head(
        request,
        LatentHead(sae, score, k),
        config,
        head_names=(),
        body=_without_norm(request, config),
        padding_id=config.pad_token_id,
    )


def _refuse_misshapen(
    checkpoint: Checkpoint, sae: dict[str, Tensor], score: dict[str, Tensor]
) -> None:
    """Refuse an SAE and scores that do not fit each other, or are not finite."""
    encoder = sae["encoder.weight"]
    latent, hidden = encoder.shape if encoder.ndim == 2 else (0, 0)
    fits = (
        latent > 0
        and tuple(sae["pre_bias"].shape) == (hidden,)
        and tuple(sae["latent_bias"].shape) == (latent,)
        and score["weight"].numel() == latent
        and score.get("bias", torch.zeros(1)).numel() == 1
    )
    finite = all(bool(held.isfinite().all()) for held in (*sae.values(), *score.values()))
    if not fits or not finite:
        raise ModelError(
            f"{checkpoint.name}: the SAE's encoder is {list(encoder.shape)}, and its biases or "
            "score.weight do not fit it or hold NaN; fetch the model again"
        )


def _without_norm(request: Request, config: Any) -> Any:
    """Load the body; the SAE reads the stream itself, unless the file holds a final norm."""
    normed = any(key.endswith("model.norm.weight") for key in request.checkpoint.keys)
    beyond = {
        key[: found.end()]
        for key in request.checkpoint.keys
        if (found := _LAYER.match(key)) and int(found[1]) >= config.num_hidden_layers
    }
    body = load_body(
        request, config, head_names=(*_READ, *beyond), optional=() if normed else ("norm.weight",)
    )
    if not normed:
        body.norm = nn.Identity()
    return body


def _recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.is_whole and "sae.encoder.weight" in checkpoint.keys


FAMILY = PmFamily(
    name="Reward over SAE latents",
    files="`sae.encoder.weight`, `score.weight`",
    loads=("SARM",),
    refuses={"no `sae_k` or source layer in the config": "the reward could not be computed"},
    recognises=_recognises,
    load=_load,
)
