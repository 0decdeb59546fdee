"""Rewards of single texts, as an audit reads them: any prompts, any completions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from pm_audit.errors import AuditError
from pm_audit.forward.grid import Row
from pm_audit.forward.reference import sigma
from pm_audit.forward.scale import reference_grid
from pm_audit.scanning.score import read_rewards
from pm_audit.spec import Dialogue, Turn
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.template import ROLES

Message = Mapping[str, str]
"""A chat message ``{"role": ..., "content": ...}``."""
Prompt = str | Sequence[Message]
"""A text, or chat messages that end with the user's."""
Prompts = str | Iterable[Prompt | Message]
"""One prompt, or a list of prompts; one type for both lists, so that type checkers infer it."""
Pair = tuple[Dialogue, str]
"""A prompt and a completion of it."""

_AT_ONCE = 256
"""Texts of one forward, whose streams are in memory together."""
_SPEAKERS = {role: speaker for speaker, role in ROLES.items()}


def dialogue(prompt: Prompt) -> Dialogue:
    """Return a prompt as turns.

    Raises:
        AuditError: a message has other keys or an unknown role, or the last is not the user's.

    """
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    prompt = listed(prompt, "a prompt that is not a text")
    turns = tuple(_turns(prompt))
    if not turns or prompt[-1]["role"] != "user":
        raise AuditError("a prompt must end with a message of the user; the completion answers it")
    return turns


def _turns(messages: Sequence[Mapping[str, str]]) -> Iterator[Turn]:
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or message.keys() != {"role", "content"}:
            raise AuditError(f"message {number} of a prompt must hold exactly role and content")
        if message["role"] not in _SPEAKERS:
            known = ", ".join(_SPEAKERS)
            raise AuditError(
                f"message {number} of a prompt has role {message['role']!r}; choose one of {known}"
            )
        if message["role"] == "system" and number:
            raise AuditError(f"message {number} of a prompt is the system's; it comes first")
        content = message["content"]
        if not isinstance(content, str):
            raise AuditError(f"message {number} of a prompt has no text as its content")
        (content,) = texts([content], "prompts")
        yield Turn(speaker=_SPEAKERS[message["role"]], text=content)


def listed(given: object, what: str) -> list[Any]:
    """Return a list, tuple, Series or whatever else has one order.

    Raises:
        AuditError: it has no order, or more axes than one, so that its items are not what is meant.

    """
    unordered = isinstance(given, str | bytes | Mapping | Set)
    if unordered or not isinstance(given, Iterable) or getattr(given, "ndim", 1) != 1:
        raise AuditError(f"{what} must be a list, not {type(given).__name__}; put it in a list")
    return list(given)


def texts(given: object, what: str) -> list[str]:
    """Return a list of texts.

    Raises:
        AuditError: it is no list, or one of its items is not text.

    """
    found = listed(given, what)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            kind = type(text).__name__
            raise AuditError(f"{what}: item {number} is of type {kind}, expected text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise AuditError(f"{what}: item {number} holds a lone surrogate; remove it")
    return [str(text) for text in found]


def rewards(
    pm: PreferenceModel, prompts: Prompts, completions: Iterable[str]
) -> npt.NDArray[np.float64]:
    """Return the reward [text] of each completion of its prompt, in float64.

    Each reward equals that of the PM's own library for the same text.

    Args:
        pm: the preference model.
        prompts: one for each completion, or one prompt for all of them.
        completions: answers.  Formats such as ``hh`` need the leading space; ``chat`` and others
            that write their own separator leave out one leading space, as in an audit.

    Raises:
        AuditError: the numbers of prompts and completions differ, or one of them cannot be read.
        ModelError: a text is longer than the PM reads.
        NumericalError: a reward is not finite.

    """
    if isinstance(completions, str):
        raise AuditError("completions must be a list of texts, not one text; put it in a list")
    return rewards_of(pm, paired(prompts, completions))


def paired(prompts: Prompts, completions: Iterable[str]) -> list[Pair]:
    """Return each completion with its prompt.

    Raises:
        AuditError: the numbers of prompts and completions differ, or one of them cannot be read.

    """
    completions = texts(completions, "completions")
    every = _every_prompt(prompts, len(completions))
    if len(every) != len(completions):
        raise AuditError(
            f"{len(every)} prompts and {len(completions)} completions were given; give one "
            "prompt for each completion, or one for all"
        )
    return list(zip(map(dialogue, every), completions, strict=True))


def rewards_of(pm: PreferenceModel, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
    """Return the reward [pair] of each completion, each distinct prompt read once.

    Raises:
        ModelError: a text is longer than the PM reads.
        NumericalError: a reward is not finite.

    """
    number = {
        turns: place for place, turns in enumerate(dict.fromkeys(turns for turns, _ in pairs))
    }
    rows = [
        Row(number[turns], row.token_ids, row.completion_start)
        for turns, completion in pairs
        for row in [pm.text_format.tokenise(turns, completion)]
    ]
    parts = [read_rewards(pm, rows[at : at + _AT_ONCE]) for at in range(0, len(rows), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])


def sigma_of(pm: PreferenceModel) -> float:
    """Return the unit of gaps: raw reward of one sigma, measured on the reference set.

    Raises:
        NumericalError: all completions of every prompt get one reward.

    """
    rows = reference_grid(pm).rows
    return sigma([row.prompt for row in rows], read_rewards(pm, rows))


def _every_prompt(prompts: Prompts, count: int) -> list[Prompt]:
    """Return the prompts, the only one ``count`` times: a text, or the messages of one chat."""
    if isinstance(prompts, str):
        return [prompts] * count
    found = listed(prompts, "prompts")
    if found and all(isinstance(one, Mapping) for one in found):
        return [found] * count
    return found
