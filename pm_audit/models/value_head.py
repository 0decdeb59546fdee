"""Causal decoders with a head of their own name, read at the last token.

    v_head           TRL (``v_head.summary``), GRM, Starling
    value_head       OpenRLHF, or whatever its config.value_head_prefix says; optional mean and std
    regression_head  UltraRM
    out_proj         OpenAssistant, with bias; pooling "last" or "mean" over all tokens
    score_head       beaver (safe-rlhf), with its normaliser; a cost has inverted polarity
    score.0, score.2 INF-ORM, Qwen2.5-Math-RM, WorldPM: layers with ReLU between

A head of several layers has no decoder direction: its gradients are needed, W_dec @ w_r means
nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.models.bare_backbone import body_config, load_body
from pm_audit.models.checkpoint import Checkpoint
from pm_audit.models.family import PmFamily, Request
from pm_audit.models.heads import LinearHead, RescaledHead, head_of
from pm_audit.models.preference_model import PreferenceModel, Readout
from pm_audit.models.sequence_classification import choose_format
from pm_audit.models.text.ending import OPENRLHF
from pm_audit.models.text_format import TextFormat
from pm_audit.models.transformers_checkpoint import load_tokenizer


@dataclass(frozen=True)
class Dialect:
    """One way of naming and scaling the head."""

    name: str
    prefix: str
    """What the head's weights start with."""
    text_format: str | None = None
    """The format that these models were trained on, where there is one."""
    finish: Callable[[Checkpoint, nn.Module], nn.Module] = lambda _, head: head
    """Brings the head's output to the checkpoint's own scale and polarity."""


def load(request: Request) -> PreferenceModel:
    """Load body and head.

    Raises:
        ModelError: weights are missing, or the reward is pooled in another way.

    """
    checkpoint = request.checkpoint
    if request.objective is not None:
        raise ModelError(
            f"{checkpoint.name}: objective {request.objective!r} was named, the head has only one"
        )
    dialect = _dialect(checkpoint)
    head = head_of(checkpoint.tensors(dialect.prefix), source=checkpoint.name)
    config = body_config(checkpoint)
    tokenizer = load_tokenizer(request)
    return PreferenceModel.from_backbone(
        load_body(request, config),
        dialect.finish(checkpoint, head).to(request.device),
        name=checkpoint.name,
        tokenizer=tokenizer,
        text_format=_format(request, dialect, tokenizer, config),
        sha256=checkpoint.sha256(),
        readout=_readout(checkpoint, head),
    )


def _readout(checkpoint: Checkpoint, head: nn.Module) -> Readout:
    """Return where the head reads: OpenAssistant's ``pooling``, else the last token."""
    pooling = checkpoint.config.get("pooling") or "last"
    if pooling not in (Readout.LAST, Readout.MEAN):
        raise ModelError(
            f"{checkpoint.name}: pooling {pooling!r} in config.json is not known (known: last, "
            "mean); use a PM that reads its last token"
        )
    if pooling == Readout.MEAN and not isinstance(head, LinearHead):
        raise ModelError(
            f"{checkpoint.name}: a mean over tokens is read by a head of several layers, which no "
            "known PM has; check pooling in config.json"
        )
    return Readout(pooling)


def _format(request: Request, dialect: Dialect, tokenizer: Any, config: object) -> TextFormat:
    asked = replace(
        request,
        text_format=request.text_format or dialect.text_format,
        text_end=request.text_end or _end(request.checkpoint, dialect, tokenizer),
    )
    chosen = choose_format(asked, tokenizer, config)
    reads_at = request.checkpoint.config.get("reward_token_id")
    appended = (int(reads_at),) if reads_at is not None else ()
    return replace(chosen, appended=appended)


def _end(checkpoint: Checkpoint, dialect: Dialect, tokenizer: Any) -> str | None:
    """Return how the texts end that these models were trained on, where something says so."""
    if checkpoint.architecture.startswith(_ATHENE):
        marker: str = tokenizer.cls_token or _ATHENE_MARKER
        return marker
    if dialect.finish is _normalised and tokenizer.eos_token:
        return OPENRLHF
    return None


def _normalised(checkpoint: Checkpoint, head: nn.Module) -> nn.Module:
    """OpenRLHF: subtract the stored mean and divide by the stored deviation, if it says so."""
    if not checkpoint.config.get("normalize_reward"):
        return head
    stored = checkpoint.tensors("", wanted={"mean", "std"})
    mean, deviation = (_scalar(checkpoint, stored, key) for key in ("mean", "std"))
    return RescaledHead(head, mean, deviation)


def _scored(checkpoint: Checkpoint, head: nn.Module) -> nn.Module:
    """Safe-rlhf: its normaliser, and a cost turned round so that more is better."""
    config = checkpoint.config
    cost = config.get("score_type") == "cost"
    mean, deviation = 0.0, 1.0
    if config.get("do_normalize"):
        stored = checkpoint.tensors("normalizer.", wanted={"mean", "var"})
        deviation = _scalar(checkpoint, stored, "var") ** 0.5 + 1e-8
        mean = 0.0 if cost else _scalar(checkpoint, stored, "mean")
    return RescaledHead(head, mean, -deviation if cost else deviation)


def _scalar(checkpoint: Checkpoint, stored: dict[str, Tensor], key: str) -> float:
    if key not in stored or stored[key].numel() != 1:
        raise ModelError(
            f"{checkpoint.name}: its config normalises rewards but the file has no single {key}; "
            "save the model with its normaliser, or switch normalisation off in config.json"
        )
    return float(stored[key])


_ATHENE, _ATHENE_MARKER = "Athene", "<|reserved_special_token_1|>"
"""Athene-RM reads a token that its pipeline appends, as its model card says."""

DIALECTS = (
    Dialect("v_head.summary (TRL, GRM)", "v_head.summary."),
    Dialect("v_head (Starling)", "v_head."),
    Dialect("regression_head (UltraRM)", "regression_head.", "ultra"),
    Dialect("out_proj (OpenAssistant)", "out_proj.", "oasst"),
    Dialect("score_head (beaver)", "score_head.", "beaver", _scored),
    Dialect("value_head (OpenRLHF)", "value_head.", None, _normalised),
    Dialect("score of several layers (INF-ORM, Qwen2.5-Math-RM, WorldPM)", "score."),
)


def _dialect(checkpoint: Checkpoint) -> Dialect:
    named = checkpoint.config.get("value_head_prefix")
    if named is not None:
        return Dialect("OpenRLHF", f"{named}.", None, _normalised)
    return next(dialect for dialect in DIALECTS if _has(checkpoint, dialect.prefix))


def _has(checkpoint: Checkpoint, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in checkpoint.keys)


def _recognises(checkpoint: Checkpoint) -> bool:
    if checkpoint.gguf is not None or checkpoint.adapter is not None:
        return False
    named = checkpoint.config.get("value_head_prefix")
    if named is not None:
        return _has(checkpoint, f"{named}.")
    # a plain score.weight is transformers' own, unless the config names it as OpenRLHF's
    own = "score.weight" in checkpoint.keys
    return any(_has(checkpoint, dialect.prefix) for dialect in DIALECTS[: -1 if own else None])


FAMILY = PmFamily(
    name="Heads of their own name",
    files="a head such as `v_head`, `value_head` or `out_proj` beside a body of transformers",
    loads=tuple(dialect.name for dialect in DIALECTS),
    refuses={
        "`pooling` other than last and mean": "what it reads is not known",
        "a body that transformers lacks (InternLM2)": "remote code stays off",
    },
    recognises=_recognises,
    load=load,
)
