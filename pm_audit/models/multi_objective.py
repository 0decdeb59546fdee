"""Heads with several objectives: ArmoRM (2406.12845) and QRM (2409.10164), without their gates.

``regression_layer`` gives one output an objective (QRM: some quantiles of each, whose mean is
taken), ``reward_transform_matrix`` mixes them against verbosity.  An objective is named or a
mixture given.  The published score weighs objectives by a gate that reads the prompt: weights
differ from prompt to prompt, so no one hypothesis would be judged, and it is refused by name.
"""

from __future__ import annotations

from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.models.bare_backbone import body_config, load_body
from pm_audit.models.checkpoint import Checkpoint
from pm_audit.models.family import PmFamily, Request
from pm_audit.models.heads import LinearHead, mixture
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.models.sequence_classification import choose_format
from pm_audit.models.transformers_checkpoint import load_tokenizer

ARMO_RM = (
    *("helpsteer-helpfulness", "helpsteer-correctness", "helpsteer-coherence"),
    *("helpsteer-complexity", "helpsteer-verbosity", "ultrafeedback-overall_score"),
    *("ultrafeedback-instruction_following", "ultrafeedback-truthfulness"),
    *("ultrafeedback-honesty", "ultrafeedback-helpfulness", "beavertails-is_safe"),
    *("prometheus-score", "argilla-overall_quality", "argilla-judge_lm", "code-complexity"),
    *("code-style", "code-explanation", "code-instruction-following", "code-readability"),
)
"""Names of ArmoRM's objectives in the order of its outputs, from its model card."""

GATED = "gated"


def load(request: Request) -> PreferenceModel:
    """Load the body and the objective or mixture that was asked for.

    Raises:
        ModelError: none was named, the gate was, or weights are missing.

    """
    checkpoint = request.checkpoint
    head = load_head(request)
    config = body_config(checkpoint)
    tokenizer = load_tokenizer(request)
    return PreferenceModel.from_backbone(
        load_body(request, config),
        head,
        name=checkpoint.name,
        tokenizer=tokenizer,
        text_format=choose_format(request, tokenizer, config),
        sha256=checkpoint.sha256(),
        objective=request.objective,
    )


def load_head(request: Request) -> LinearHead:
    """Return the head of the objective or mixture that was asked for.

    Raises:
        ModelError: none was named, or the gate was.

    """
    checkpoint = request.checkpoint
    names = objectives(checkpoint)
    if request.objective == GATED:
        raise ModelError(
            f"{checkpoint.name}: the gate weighs objectives by the prompt, so its score is another "
            f"reward for each prompt; name one of {', '.join(names[:6])}, ... or a fixed mixture"
        )
    weights = mixture(request.objective, names, source=checkpoint.name)
    # one linear head: hidden @ (transform of the objectives, mixed)
    return LinearHead(weights @ _directions(checkpoint, len(names))).to(request.device)


def objectives(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the objectives' names: the config's, or ArmoRM's own, or their numbers."""
    count = _count(checkpoint)
    labels = checkpoint.config.get("id2label") or {}
    named = tuple(str(labels.get(str(index), "")) for index in range(count))
    if all(named) and not named[0].startswith("LABEL_") and len(set(named)) == count:
        return named
    return ARMO_RM if count == len(ARMO_RM) else tuple(f"objective_{i}" for i in range(count))


def _count(checkpoint: Checkpoint) -> int:
    rows: int = _regression(checkpoint).shape[0]
    return rows // _quantiles(checkpoint)


def _quantiles(checkpoint: Checkpoint) -> int:
    return int(checkpoint.config.get("num_quantiles") or 1)


def _regression(checkpoint: Checkpoint) -> Tensor:
    held = checkpoint.tensors("regression_layer.", wanted={"weight"})
    if "weight" not in held:
        raise ModelError(
            f"{checkpoint.name}: regression_layer has no weight; fetch the model again"
        )
    return held["weight"].float()


def _directions(checkpoint: Checkpoint, count: int) -> Tensor:
    """Return what each objective reads of the hidden state, [objective hidden]."""
    rows = _regression(checkpoint)
    per_output = rows.reshape(count, -1, rows.shape[1]).mean(dim=1)
    held = checkpoint.tensors("", wanted={"reward_transform_matrix"})
    transform = held.get("reward_transform_matrix")
    directions: Tensor = per_output if transform is None else transform.float().T @ per_output
    return directions


def _recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.gguf is None and "regression_layer.weight" in checkpoint.keys


FAMILY = PmFamily(
    name="Several objectives",
    files="`regression_layer.weight`, `reward_transform_matrix`",
    loads=("ArmoRM, objective by objective", "QRM, mean over quantiles"),
    refuses={
        "no objective named": "averaging objectives would mean nothing",
        "the gated score": "its weights differ from prompt to prompt",
    },
    recognises=_recognises,
    load=load,
    head=load_head,
    objectives=objectives,
)
