"""Rewards of single texts, as an audit reads them: any prompts, any completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from pm_audit.errors import AuditError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import finite_rewards
from pm_audit.forward.trace import rewards as grid_rewards
from pm_audit.spec import Dialogue, Turn
from pm_audit.subject.plain import plain_rewards
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.text.template import ROLES

Prompt = str | Sequence[Mapping[str, str]]
"""A text, or chat messages ``{"role": ..., "content": ...}`` that end with the user's."""

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
        if not isinstance(message["content"], str):
            raise AuditError(f"message {number} of a prompt has no text as its content")
        yield Turn(speaker=_SPEAKERS[message["role"]], text=message["content"])


def rewards(
    pm: PreferenceModel, prompts: Sequence[Prompt] | Prompt, completions: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Return the reward [text] of each completion of its prompt, in float64.

    Each reward equals that of the PM's own library for the same text.

    Args:
        pm: the preference model.
        prompts: one for each completion, or one prompt for all of them.
        completions: answers, to the letter: formats such as ``hh`` want the leading space.

    Raises:
        AuditError: the numbers of prompts and completions differ, or a prompt cannot be read.
        ModelError: a text is longer than the PM reads.
        NumericalError: a reward is not finite.

    """
    if isinstance(completions, str):
        raise AuditError("completions must be a list of texts, not one text; put it in a list")
    one = _only_prompt(prompts)
    every = [one] * len(completions) if one is not None else cast("list[Prompt]", list(prompts))
    if len(every) != len(completions):
        raise AuditError(
            f"{len(every)} prompts and {len(completions)} completions were given; give one "
            "prompt for each completion, or one for all"
        )
    dialogues = [dialogue(prompt) for prompt in every]
    number = {turns: place for place, turns in enumerate(dict.fromkeys(dialogues))}
    rows = [
        Row(number[turns], row.token_ids, row.completion_start)
        for turns, completion in zip(dialogues, completions, strict=True)
        for row in [pm.text_format.tokenise(turns, completion)]
    ]
    parts = [_read(pm, rows[at : at + _AT_ONCE]) for at in range(0, len(rows), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])


def _only_prompt(prompts: Sequence[Prompt] | Prompt) -> Prompt | None:
    """Return the prompt if there is only one: a text, or the messages of one chat."""
    if isinstance(prompts, str):
        return prompts
    messages = [message for message in prompts if isinstance(message, Mapping)]
    return messages if messages and len(messages) == len(prompts) else None


def _read(pm: PreferenceModel, rows: list[Row]) -> npt.NDArray[np.float64]:
    if pm.readout is not Readout.FIRST:
        return grid_rewards(pm, Grid(tuple(rows)))
    # an encoder's tokens see all others, so that nothing is shared
    read = plain_rewards(pm, [row.token_ids for row in rows])
    return finite_rewards(read.double().numpy())
