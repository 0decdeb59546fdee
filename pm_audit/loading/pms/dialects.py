"""How heads of their own name are read: their scale, the text that they were trained on, the token.

    v_head           TRL (``v_head.summary``), GRM, Starling; Athene, at a token that it appends
    value_head       OpenRLHF, or the name in config.value_head_prefix; optional mean and std
    regression_head  UltraRM, Eurus
    out_proj         OpenAssistant, with bias; pooling "last" or "mean" over all tokens
    score_head       beaver (safe-rlhf), with its normaliser; a cost has inverted polarity
    score.0, score.2 INF-ORM, Qwen2.5-Math-RM, WorldPM: layers with ReLU between

A head's name alone says neither on which text it was trained nor where it is read.  Conventions of
the classes below are known, by the name in config.json; for others the user sets the text format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import transformers
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.subject.heads import RescaledHead
from pm_audit.text.ending import OPENRLHF


@dataclass(frozen=True)
class Dialect:
    """One way of naming and scaling the head."""

    name: str
    prefix: str
    """What the head's weights start with."""
    identifies: Callable[[Checkpoint], bool]
    """Whether the conventions of the checkpoint's class are known: many classes name their head
    alike and read it elsewhere, in another text."""
    text_format: str | None = None
    """The format that these models were trained on, if there is one."""
    finish: Callable[[Checkpoint, nn.Module], nn.Module] = lambda _, head: head
    """Brings the head's output to the checkpoint's own scale and polarity."""
    read_at: str | None = None
    """A special token that their code appends to the text and reads at."""
    text_end: str | None = None
    """How their trainer ends a text, if in a way of its own."""


def _normalised(checkpoint: Checkpoint, head: nn.Module) -> nn.Module:
    """OpenRLHF: subtract the stored mean and divide by the stored deviation, if it says so."""
    if not checkpoint.config.get("normalize_reward"):
        return head
    stored = checkpoint.tensors("", wanted={"mean", "std"})
    mean, deviation = (_scalar(checkpoint, stored, key) for key in ("mean", "std"))
    return RescaledHead(head, mean, _positive(checkpoint, deviation, "std"))


def _scored(checkpoint: Checkpoint, head: nn.Module) -> nn.Module:
    """Safe-rlhf: its normaliser, and a cost with its sign changed, so that more is better."""
    kind = checkpoint.config.get("score_type", "reward")
    if kind not in ("reward", "cost"):
        raise checkpoint.options.wrong("score_type", "reward or cost")
    cost = kind == "cost"
    mean, deviation = 0.0, 1.0
    if checkpoint.config.get("do_normalize"):
        stored = checkpoint.tensors("normalizer.", wanted={"mean", "var"})
        variance = _scalar(checkpoint, stored, "var")
        deviation = _positive(checkpoint, variance, "var") ** 0.5 + 1e-8
        mean = 0.0 if cost else _scalar(checkpoint, stored, "mean")
    return RescaledHead(head, mean, -deviation if cost else deviation)


def _scalar(checkpoint: Checkpoint, stored: dict[str, Tensor], key: str) -> float:
    if key not in stored or stored[key].numel() != 1 or not bool(stored[key].isfinite().all()):
        raise ModelError(
            f"{checkpoint.name}: its config normalises rewards but the file has no single {key}; "
            "save the model with its normaliser, or switch normalisation off in config.json"
        )
    return float(stored[key])


def _positive(checkpoint: Checkpoint, value: float, key: str) -> float:
    if value <= 0:
        raise ModelError(
            f"{checkpoint.name}: the stored {key} of rewards is {value:g}, expected more than 0; "
            "save the model with its normaliser, or switch normalisation off in config.json"
        )
    return value


def _named(*classes: str) -> Callable[[Checkpoint], bool]:
    return lambda checkpoint: checkpoint.architecture in classes


def _of_trl(checkpoint: Checkpoint) -> bool:
    """TRL wraps a language model and leaves its class in the config; GRM names its own."""
    return checkpoint.architecture == "GRewardModel" or (
        checkpoint.architecture.endswith(("ForCausalLM", "LMHeadModel"))
        and hasattr(transformers, checkpoint.architecture)
    )


def _is_starling(checkpoint: Checkpoint) -> bool:
    own = checkpoint.architecture in ("LlamaForSequenceClassification", "GPTRewardModel")
    return own and has(checkpoint, "transformer.")


def _is_beaver(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture.endswith("ForScore") or "score_type" in checkpoint.config


def _is_oasst(checkpoint: Checkpoint) -> bool:
    kind = checkpoint.config.get("model_type")
    return kind == "gpt_neox_reward_model" or checkpoint.architecture == "GPTNeoXRewardModel"


STATISTICS = ("mean", "std", "normalizer.")
"""What a normaliser keeps next to the head, used or not."""
OF_OPENRLHF = Dialect(
    "value_head (OpenRLHF)",
    "value_head.",
    _named("RewardModel", "CriticModel"),
    finish=_normalised,
    text_end=OPENRLHF,
)
DIALECTS = (
    Dialect("v_head.summary (TRL, GRM)", "v_head.summary.", _of_trl),
    Dialect(
        "v_head (Athene)",
        "v_head.",
        _named("AtheneForSequenceClassification", "CustomAutoModelForSequenceClassification"),
        read_at="<|reserved_special_token_1|>",
    ),
    Dialect(
        "v_head (InternLM2)",
        "v_head.",
        lambda checkpoint: checkpoint.config.get("reward_token_id") is not None,
    ),
    Dialect("v_head (Starling)", "v_head.", _is_starling),
    Dialect("regression_head (Eurus)", "regression_head.", _named("EurusRewardModel")),
    Dialect(
        "regression_head (UltraRM)",
        "regression_head.",
        _named("LlamaRewardModel", "UltraRM"),
        "ultra",
    ),
    Dialect("out_proj (OpenAssistant)", "out_proj.", _is_oasst, "oasst"),
    Dialect("score_head (beaver)", "score_head.", _is_beaver, "beaver", _scored),
    OF_OPENRLHF,
    Dialect(
        "score of several layers (INF-ORM, Qwen2.5-Math-RM, WorldPM)",
        "score.",
        _named("INFORMForSequenceClassification", "Qwen2ForRewardModel"),
    ),
)


def dialect_of(checkpoint: Checkpoint) -> Dialect:
    """Return the dialect of the head's name, the one that identifies the checkpoint first."""
    named = prefix_said(checkpoint)
    if named is not None:
        return replace(OF_OPENRLHF, name="OpenRLHF", prefix=f"{named}.", identifies=lambda _: True)
    fitting = [dialect for dialect in DIALECTS if has(checkpoint, dialect.prefix)]
    longest = max((dialect.prefix for dialect in fitting), key=len)
    others = {dialect.prefix for dialect in fitting if not longest.startswith(dialect.prefix)}
    if others:
        raise ModelError(
            f"{checkpoint.name}: the file holds heads of several names, "
            f"{', '.join(sorted({longest, *others}))}; take out those that were not trained"
        )
    same = [dialect for dialect in fitting if dialect.prefix == longest]
    known = (dialect for dialect in same if dialect.identifies(checkpoint))
    unknown = replace(
        same[0],
        name=longest,
        identifies=lambda _: False,
        text_format=None,
        read_at=None,
        text_end=None,
        finish=same[0].finish if longest == "value_head." else lambda _, head: head,
    )
    return next(known, unknown)


def prefix_said(checkpoint: Checkpoint) -> str | None:
    """Return the head's name that OpenRLHF wrote into the configuration."""
    named = checkpoint.config.get("value_head_prefix")
    if named is not None and (not isinstance(named, str) or not named):
        raise checkpoint.options.wrong("value_head_prefix", "the name of the head")
    return named


def has(checkpoint: Checkpoint, prefix: str) -> bool:
    """Whether the file holds a weight whose name starts with ``prefix``."""
    return any(key.startswith(prefix) for key in checkpoint.keys)
