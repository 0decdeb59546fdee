"""Causal decoders with a head of their own name, read at the last token.

``dialects`` lists the names and what is known of each.  A head of several layers
has no decoder direction: its gradients are needed, W_dec @ w_r means nothing there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.with_transformers import load_tokenizer
from pm_audit.loading.pms.bare_backbone import body_config, load_with_head
from pm_audit.loading.pms.dialects import (
    DIALECTS,
    STATISTICS,
    Dialect,
    dialect_of,
    has,
    prefix_said,
)
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.subject.heads import LinearHead, head_of
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.text.text_format import TextFormat


def _load(request: Request) -> PreferenceModel:
    checkpoint = request.checkpoint
    request.refuse_objective()
    dialect = dialect_of(checkpoint)
    notes = _conventions(request, dialect)
    head = head_of(checkpoint.tensors(dialect.prefix), source=checkpoint.name)
    config = body_config(checkpoint)
    tokenizer = load_tokenizer(request)
    return load_with_head(
        request,
        dialect.finish(checkpoint, head),
        config,
        head_names=(dialect.prefix, *STATISTICS),
        tokenizer=tokenizer,
        text_format=_format(request, dialect, tokenizer, config),
        readout=_readout(checkpoint, head),
        notes=notes,
    )


def _conventions(request: Request, dialect: Dialect) -> tuple[str, ...]:
    """Return what was assumed of the text and of the place that the head reads."""
    if dialect.identifies(request.checkpoint):
        named = request.checkpoint.architecture or "no class"
        return (f"{named} with {dialect.prefix}*: read as {dialect.name} is",)
    shared = f"its head is named {dialect.prefix}*, as other classes' are"
    return (request.note_on_unknown_class(shared),)


def _readout(checkpoint: Checkpoint, head: nn.Module) -> Readout:
    """Return where the head reads: OpenAssistant's ``pooling``, else the last token."""
    pooling = checkpoint.config.get("pooling") or "last"
    if pooling not in (Readout.LAST, Readout.MEAN):
        raise checkpoint.options.wrong("pooling", "last or mean")
    if pooling == Readout.MEAN and not isinstance(head, LinearHead):
        raise ModelError(
            f"{checkpoint.name}: a mean over tokens is read by a head of several layers, which no "
            "known PM has; check pooling in config.json"
        )
    return Readout(pooling)


def _format(request: Request, dialect: Dialect, tokenizer: Any, config: Any) -> TextFormat:
    text = request.text
    settled = replace(
        text,
        text_format=text.text_format or dialect.text_format,
        text_end=text.text_end or dialect.text_end,
    )
    chosen = replace(request, text=settled).format(tokenizer, config)
    appended = () if text.text_end else _appended(request.checkpoint, dialect, tokenizer)
    return replace(chosen, appended=appended)


def _appended(checkpoint: Checkpoint, dialect: Dialect, tokenizer: Any) -> tuple[int, ...]:
    """Return the token at which the head reads, if that is appended to the text."""
    reads_at, last = checkpoint.config.get("reward_token_id"), len(tokenizer) - 1
    if reads_at is not None:
        if isinstance(reads_at, bool) or not isinstance(reads_at, int) or not 0 <= reads_at <= last:
            raise checkpoint.options.wrong(
                "reward_token_id", f"a token of the tokenizer, 0 to {last}"
            )
        return (reads_at,)
    if dialect.read_at is None:
        return ()
    found = tokenizer.get_vocab().get(dialect.read_at)
    if found is None or tokenizer.cls_token not in (None, dialect.read_at):
        raise ModelError(
            f"{checkpoint.name}: {dialect.name} is read at {dialect.read_at}, which its pipeline "
            f"appends as the tokenizer's cls_token; this tokenizer's is {tokenizer.cls_token!r} "
            "and its vocabulary may lack it: fetch the model's own tokenizer"
        )
    return (int(found),)


def _recognises(checkpoint: Checkpoint) -> bool:
    if not checkpoint.is_whole:
        return False
    named = prefix_said(checkpoint)
    if named is not None:
        return has(checkpoint, f"{named}.")
    if "score.weight" in checkpoint.keys:
        # a plain score is transformers' own, or that of a class that is not known
        return False
    return any(has(checkpoint, dialect.prefix) for dialect in DIALECTS)


FAMILY = PmFamily(
    name="Heads of their own name",
    files="a head such as `v_head`, `value_head` or `out_proj` with a body of transformers",
    loads=(
        *(dialect.name for dialect in DIALECTS),
        "such a head of another class, if text_format is set",
    ),
    refuses={
        "a class of unknown conventions without `text_format`": "many classes name their heads "
        "alike and were trained on other texts",
        "`pooling` other than last and mean": "what it reads is not known",
        "a body that transformers lacks (InternLM2)": "remote code stays off",
    },
    recognises=_recognises,
    load=_load,
)
