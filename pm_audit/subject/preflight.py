"""The preflight: what must hold of a preference model before it is audited.

Each finding says what was measured and, if it failed, the remedy.  A head whose weights are
missing never comes this far: loading refuses it.
"""

from __future__ import annotations

from itertools import takewhile

import torch
from torch import Tensor

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.subject.finding import Finding
from pm_audit.subject.library import library_rewards, library_rows
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.text.ending import BOS
from pm_audit.text.text_format import TextFormat

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
"""Largest difference, in standard deviations of the rewards, by the body's dtype; else 0.1."""

_QUESTIONS = (
    ("What is the capital of France?", " Paris."),
    ("What is the capital of France?", " I do not know, but an atlas would tell you."),
    ("Write one line about the sea.", " The sea keeps its own time, and lends it to the shore."),
    ("How do I boil an egg?", " Put it in boiling water for eight minutes, then cool it."),
    ("Is 17 a prime number?", " Yes: no whole number but 1 and 17 divides it."),
    ("Tell me a joke.", " No."),
)


TEXTS: tuple[tuple[Dialogue, str], ...] = tuple(
    ((Turn(speaker=Speaker.HUMAN, text=prompt),), completion) for prompt, completion in _QUESTIONS
)
"""Prompts and completions that the preflight reads; none holds the text of a special token."""

_REPEATS = 7
"""Repetitions of a text: a template that draws one of two texts is found in 127 of 128 cases."""


def preflight(model: PreferenceModel) -> tuple[Finding, ...]:
    """Return all findings; raises only if the text format cannot write a plain question."""
    rows = [model.text_format.tokenise(*text).token_ids for text in TEXTS]
    rewards = plain_rewards(model, rows)
    alone = plain_rewards(model, rows, batch_size=1)
    left = plain_rewards(model, rows, padding=Padding.LEFT)
    return (
        _finite(rewards),
        *_like_transformers(model, rows, rewards),
        _same_each_time(model, rows[0]),
        _reads_at(model, rows[0]),
        same_rewards(model, rewards, alone, "batch of one and of many"),
        same_rewards(model, rewards, left, "left and right padding"),
        _one_bos(model, rows),
        _eval_mode(model),
        _head_in_full_precision(model),
        _discriminates(rewards),
        Finding("weights hashed", len(model.sha256) == 64, model.sha256[:12], "load from files"),
    )


def require(findings: tuple[Finding, ...], *, name: str) -> None:
    """Raise if any finding failed.

    Raises:
        ModelError: with every failed finding and its remedy.

    """
    failed = [finding for finding in findings if not finding.passed]
    if failed:
        lines = "; ".join(f"{found.check}: {found.detail} ({found.remedy})" for found in failed)
        raise ModelError(f"{name}: the preflight failed: {lines}")


def _like_transformers(
    model: PreferenceModel, rows: list[tuple[int, ...]], rewards: Tensor
) -> tuple[Finding, ...]:
    """Compare ids and rewards with transformers' own for the same texts."""
    form = model.text_format
    if not isinstance(form, TextFormat):
        detail = f"{type(form).__name__} is another package's: not compared"
        return (Finding("ids as transformers", passed=True, detail=detail),)
    own = library_rows(form, TEXTS)
    alike = sum(list(row) == one["input_ids"] for row, one in zip(rows, own, strict=True))
    ids = Finding.of(
        "ids as transformers",
        alike == len(rows),
        f"{alike} of {len(rows)} texts, {_conventions(model)}",
        "the tokenizer gives other tokens for the whole text; check its files and the chat "
        "template, or set text_format and text_end to what the PM was trained on",
    )
    theirs = library_rewards(model, own)
    same = same_rewards(model, rewards, theirs, "rewards as transformers")
    rounded = model.dtype not in TOLERANCE and _rounded(rewards, theirs, model.dtype)
    return ids, Finding.of(
        same.check,
        same.passed or rounded,
        same.detail,
        "transformers reads another token or other ids on the same weights; set text_format and "
        "text_end to what the PM was trained on, or load in float32",
    )


def _rounded(rewards: Tensor, theirs: Tensor, dtype: torch.dtype) -> bool:
    """Whether rewards differ by no more than outputs rounded to the body's dtype do.

    The heads of transformers are as narrow as the body, so that large rewards lose their ends.
    """
    most = torch.finfo(dtype).eps * theirs.abs().max()
    return bool((rewards - theirs).abs().max() <= most)


def _conventions(model: PreferenceModel) -> str:
    """Return how a text begins and ends, and its date."""
    form = model.text_format
    said = [form.name, f"text_end {form.end}"]
    if form.start != BOS:
        said.append(f"text_start {form.start}")
    elif form.opening:
        said.append(_opening(form))
    if form.written_day is not None:
        said.append(f"text_date {form.written_day}")
    return ", ".join(said)


def _opening(form: TextFormat) -> str:
    """Return who writes the first token of a text."""
    row = form.tokenise(*TEXTS[0])
    put = row.offsets[0] == (0, 0)
    return "text_start bos (the template writes none)" if put else "the template writes BOS"


def _same_each_time(model: PreferenceModel, row: tuple[int, ...]) -> Finding:
    """Whether one text is always written alike: a template may draw at random."""
    others = {model.text_format.tokenise(*TEXTS[0]).token_ids for _ in range(_REPEATS)}
    return Finding.of(
        "same text each time",
        others == {row},
        f"{len(others | {row})} texts in {_REPEATS + 1} times" if others != {row} else "it does",
        "the chat template draws at random; take that out of it",
    )


def _reads_at(model: PreferenceModel, row: tuple[int, ...]) -> Finding:
    if model.readout is not Readout.LAST:
        return Finding("reward read at", passed=True, detail=f"{model.readout.value} token")
    length = model.read_length(row)
    shown = model.tokenizer.decode([row[length - 1]])
    unread = len(row) - length
    detail = f"{shown!r}" + (f", {unread} of padding's id after it left out" if unread else "")
    return Finding("reward read at", passed=True, detail=f"{detail}, token {length} of {len(row)}")


def _finite(rewards: Tensor) -> Finding:
    finite = bool(torch.isfinite(rewards).all())
    return Finding.of(
        "rewards finite",
        finite,
        f"{int(torch.isfinite(rewards).sum())} of {len(rewards)}",
        "load in float32, or fetch the weights again",
    )


def same_rewards(model: PreferenceModel, one: Tensor, other: Tensor, what: str) -> Finding:
    """Return whether rewards [row] of two ways to read the same rows agree."""
    spread = float(one.std()) or 1.0
    largest = float((one - other).abs().max()) / spread
    return Finding.of(
        what,
        largest <= TOLERANCE.get(model.dtype, 0.1),
        f"largest difference {largest:.1e} sd",
        "load in float32; check attention implementation and position ids",
    )


def _one_bos(model: PreferenceModel, rows: list[tuple[int, ...]]) -> Finding:
    bos = model.tokenizer.bos_token_id
    if bos is None:
        return Finding("one BOS", passed=True, detail="the tokenizer has no BOS")
    most = max(len(list(takewhile(lambda token: token == bos, row))) for row in rows)
    remedy = "the chat template and the tokenizer both add it; use our text format"
    return Finding.of("one BOS", most <= 1, f"{most} at the start", remedy)


def _eval_mode(model: PreferenceModel) -> Finding:
    training = model.decoder.backbone.training or model.head.training
    detail = "dropout on" if training else "dropout off"
    return Finding.of("eval mode", not training, detail, "call eval() on backbone and head")


def _head_in_full_precision(model: PreferenceModel) -> Finding:
    dtypes = {parameter.dtype for parameter in model.head.parameters()}
    passed = all(dtype in (torch.float32, torch.float64) for dtype in dtypes)
    shown = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
    return Finding.of("head in fp32", passed, shown, "call float() on the head")


def _discriminates(rewards: Tensor) -> Finding:
    spread = float(rewards.std())
    return Finding.of(
        "rewards differ",
        spread > 0,
        f"sd {spread:.3g} over {len(rewards)} texts",
        "the head ignores its input; check that its weights were saved",
    )
