"""Values of a row to dialogues and completions: plain texts, HH transcripts, chat messages.

A transcript is Anthropic's format of HH-RLHF: turns under ``Human:`` and ``Assistant:``, each after
an empty line.  Chat messages have ``role`` and ``content``, or ShareGPT's ``from`` and ``value``.
The last turn of a side is its completion, and the turns before it are its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.data.pair import SkipReason

_MARK = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_TRANSCRIPT = re.compile(r"\A\s*Human:.*\n\nAssistant:", re.DOTALL)
_SPEAKERS = {
    **dict.fromkeys(("system", "developer"), Speaker.SYSTEM),
    **dict.fromkeys(("user", "human", "prompter"), Speaker.HUMAN),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatbot"), Speaker.ASSISTANT),
}


class NotAPairError(Exception):
    """A row is no pair: the reason that is counted, and a sentence about this row."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion of a side, and the turns before it that came with it."""

    before: Dialogue
    """Empty if the side holds the completion alone."""
    text: str
    verbatim: str
    """The whole value, if it is a text: an answer may itself look like a transcript."""


def read_prompt(value: object, column: str) -> Dialogue:
    """Return a prompt: one text, an HH transcript, or chat messages.

    Raises:
        NotAPairError: it is something else, or empty.

    """
    if isinstance(value, str):
        turns = _transcript(value) if _TRANSCRIPT.match(value) else (_human(value),)
        if len(turns) > 1 and not turns[-1].text.strip():
            turns = turns[:-1]
        return turns
    return _messages([value] if isinstance(value, dict) else value, column)


def read_side(value: object, column: str) -> tuple[Answer, ...]:
    """Return the completions of a side: a text, a chat, or a list of either.

    Raises:
        NotAPairError: it is something else, or empty.

    """
    if isinstance(value, str):
        return (_of_text(value),)
    if isinstance(value, dict):
        return (_of_chat([value], column),)
    if not isinstance(value, list) or not value:
        raise _of_another_kind(value, column, "a text, chat messages or a list of texts")
    if all(isinstance(one, dict) for one in value):
        return (_of_chat(value, column),)
    return tuple(answer for one in value for answer in _one_of(one, column))


def require_prompt(turns: Dialogue) -> Dialogue:
    """Return the turns, a system message that says nothing left out.

    Raises:
        NotAPairError: they are no prompt that a PM can be given.

    """
    if turns and turns[0].speaker is Speaker.SYSTEM and not turns[0].text.strip():
        turns = turns[1:]
    if not turns or not turns[-1].text.strip():
        raise NotAPairError(SkipReason.EMPTY, "the prompt is empty")
    if turns[-1].speaker is not Speaker.HUMAN:
        detail = f"the prompt ends with a turn of the {turns[-1].speaker}, not the human's"
        raise NotAPairError(SkipReason.WRONG_TYPE, detail)
    if any(turn.speaker is Speaker.SYSTEM for turn in turns[1:]):
        detail = "the system speaks in the middle of the prompt; it speaks first or not at all"
        raise NotAPairError(SkipReason.WRONG_TYPE, detail)
    return turns


def _human(text: str) -> Turn:
    return Turn(speaker=Speaker.HUMAN, text=text)


def _one_of(value: object, column: str) -> tuple[Answer, ...]:
    """Return the completions of an item of a list: a text, or a chat of its own."""
    if not isinstance(value, str | list):
        raise _of_another_kind(value, f"an item of {column}", "a text, like its neighbours")
    return read_side(value, column)


def _of_text(text: str) -> Answer:
    if not _TRANSCRIPT.match(text):
        return Answer((), text, text)
    *before, last = _transcript(text)
    if last.speaker is not Speaker.ASSISTANT:
        return Answer((*before, last), "", text)
    return Answer(tuple(before), last.text, text)


def _transcript(text: str) -> Dialogue:
    """Return the turns of a transcript; the space after a speaker's colon is no part of a turn."""
    marks = list(_MARK.finditer(text))
    stops = [mark.start() for mark in marks[1:]] + [len(text)]
    return tuple(
        Turn(
            speaker=Speaker(mark[1].lower()),
            text=text[mark.end() : stop].removeprefix(" "),
        )
        for mark, stop in zip(marks, stops, strict=True)
    )


def _of_chat(messages: Sequence[Any], column: str) -> Answer:
    *before, last = _messages(messages, column)
    if last.speaker is not Speaker.ASSISTANT:
        detail = f"the last message of `{column}` is the {last.speaker}'s, not the assistant's"
        raise NotAPairError(SkipReason.WRONG_TYPE, detail)
    return Answer(tuple(before), last.text, "")


def _messages(messages: object, column: str) -> Dialogue:
    if not isinstance(messages, list) or not messages:
        raise _of_another_kind(messages, column, "a text or chat messages")
    return tuple(_message(message, column) for message in messages)


def _message(message: object, column: str) -> Turn:
    if not isinstance(message, Mapping):
        raise _of_another_kind(message, f"a message of {column}", "an object")
    role = _either(message, "role", "from")
    content = _either(message, "content", "value")
    speaker = _SPEAKERS.get(role.lower()) if isinstance(role, str) else None
    if speaker is None:
        detail = f"a message of `{column}` has the role {_shown(role)}; known: system, user, "
        raise NotAPairError(SkipReason.WRONG_TYPE, f"{detail}assistant")
    if isinstance(content, list):
        content = _joined(content)
    if not isinstance(content, str):
        raise _of_another_kind(content, f"a message of {column}", "a text")
    return Turn(speaker=speaker, text=content)


def _either(message: Mapping[str, object], name: str, other: str) -> object:
    """Return what stands under either key; columnar files give the other one an empty value."""
    return message.get(other) if message.get(name) is None else message[name]


def _joined(parts: Sequence[Any]) -> str | None:
    """Return the text of a message in parts; None if one of them is no text."""
    found = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    texts = [text for text in found if isinstance(text, str)]
    return "".join(texts) if len(texts) == len(found) else None


def _of_another_kind(value: object, what: str, wanted: str) -> NotAPairError:
    if value is None or value == []:
        return NotAPairError(SkipReason.EMPTY, f"{what} is empty")
    found = type(value).__name__
    return NotAPairError(SkipReason.WRONG_TYPE, f"{what} is {found}, not {wanted}")


def _shown(value: object) -> str:
    return ascii(value)[:40]
