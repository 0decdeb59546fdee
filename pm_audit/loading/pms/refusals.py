"""Checkpoints without a scalar reward of one completion, each refused with its own reason.

``FIRST`` is checked before the families, because these checkpoints look like one; ``LAST`` after
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint


@dataclass(frozen=True)
class Refusal:
    """One kind of checkpoint that no audit can use."""

    name: str
    reason: str
    """Why, and what to use instead."""
    recognises: Callable[[Checkpoint], bool]


def _is_pairwise(checkpoint: Checkpoint) -> bool:
    kind = str(checkpoint.config.get("model_type", ""))[:200]
    named = f"{checkpoint.architecture} {kind}".lower()
    ranker = (checkpoint.folder / "ranker_config.json").exists() and checkpoint.gguf is None
    return ranker or any(word in named for word in ("pairrm", "pairwise", "ranker"))


def _is_language_model(checkpoint: Checkpoint) -> bool:
    named = checkpoint.architecture
    # a bare body, such as LlamaModel, has no more of a reward than a language model
    bare = named.endswith("Model") and "Reward" not in named
    return bare or named.endswith("ForCausalLM")


FIRST = (
    Refusal(
        "pairwise rankers",
        "it compares two completions and gives neither a reward of its own; use a scalar PM",
        _is_pairwise,
    ),
    Refusal(
        "T5 preference models",
        "it answers in words which completion is better and has no scalar head; use a scalar PM",
        lambda checkpoint: (
            bool(checkpoint.config.get("is_encoder_decoder"))
            or checkpoint.architecture.startswith(("T5", "MT5", "UMT5"))
        ),
    ),
    Refusal(
        "vision-language reward models",
        "its reward depends on images, which a hypothesis in text does not have; use a text PM",
        lambda checkpoint: (
            not checkpoint.config.keys().isdisjoint(
                {"vision_config", "vision_tower", "mm_vision_tower"}
            )
        ),
    ),
    Refusal(
        "process reward models",
        "it scores every step and gives the completion no single reward; use an outcome PM",
        lambda checkpoint: any(
            word in checkpoint.architecture for word in ("ForTokenClassification", "ProcessReward")
        ),
    ),
    Refusal(
        "GGUF files by themselves",
        "a GGUF file holds a language model without a reward head; give the adapter that brings "
        "the head, with this file as its base",
        lambda checkpoint: checkpoint.gguf is not None,
    ),
)
LAST = (
    Refusal(
        "classes of their own with a head named score",
        "config.json names a class that transformers does not have, and what its code does with "
        "score.weight is not known; if the reward is read as transformers reads it (the last "
        "token that is not padding), name transformers' own class in `architectures`, such as "
        "LlamaForSequenceClassification",
        lambda checkpoint: "score.weight" in checkpoint.keys and checkpoint.adapter is None,
    ),
    Refusal(
        "language models without a reward head (bases, DPO implicit rewards, generative judges)",
        "its weights hold no head that gives a completion one number: a base was never a PM, an "
        "implicit reward needs the reference model too, and a judge's verdict is text; name it "
        "judge:PATH to read one verdict token after a rubric, use a PM with a scalar head, or name "
        "an adapter that brings one as ADAPTER@BASE",
        _is_language_model,
    ),
)


_RATIONALE_FIRST = re.compile(
    r"prometheus|auto-?j\b|judgelm|rm-?r1|deepseek-grm|compass-?judger|selene|skywork-critic"
    r"|flow-judge|con-j|pandalm|j1-|rise-judge|m-prometheus|think",
    re.IGNORECASE,
)
"""Names of generative judges that were trained to write a rationale before their verdict."""
RATIONALE = Refusal(
    "judges that write a rationale before their verdict",
    "the verdict follows a text that the judge draws itself, so no logit after the rubric is its "
    "reward; use a PM with a scalar head, or a language model that answers at once",
    lambda checkpoint: bool(
        _RATIONALE_FIRST.search(Path(checkpoint.name).name)
        or _RATIONALE_FIRST.search(str(checkpoint.config.get("_name_or_path", ""))[:200])
    ),
)
OF_JUDGES = (
    *(refusal for refusal in FIRST if not refusal.name.startswith("GGUF")),
    Refusal(
        "adapters as judges",
        "a judge is a whole language model; merge the adapter into its base and name the result",
        lambda checkpoint: checkpoint.adapter is not None,
    ),
    Refusal(
        "preference models as judges",
        "it has a head of its own, which gives the reward; name it without `judge:`",
        lambda checkpoint: checkpoint.architecture.endswith(
            ("ForSequenceClassification", "RewardModel")
        ),
    ),
    RATIONALE,
)
"""What is refused under the name ``judge:``."""


def refuse_judge(checkpoint: Checkpoint) -> None:
    """Raise ModelError if a checkpoint cannot be read as a judge."""
    refuse(checkpoint, OF_JUDGES)


def refuse_rationale(name: str, cue: str) -> None:
    """Raise ModelError if the chat template opens a rationale before the verdict."""
    if cue.rstrip().endswith(("<think>", "<|thinking|>", "<reasoning>", "<|channel|>analysis")):
        raise ModelError(
            f"{name}: {RATIONALE.name} are refused: its chat template opens one "
            f"({cue.rstrip()[-12:]!r}): {RATIONALE.reason}"
        )


def refuse(checkpoint: Checkpoint, refusals: tuple[Refusal, ...]) -> None:
    """Raise ModelError if a checkpoint is of a refused kind."""
    for refusal in refusals:
        if refusal.recognises(checkpoint):
            raise ModelError(f"{checkpoint.name}: {refusal.name} are refused: {refusal.reason}")
