"""Chat templates, rendered with the real texts, and the place of each text in the result.

    skeleton   the template sees a mark in place of each text; it is rendered once for each order
               of speakers, and shows what the template writes around them and what it strips
    real       the template sees the texts themselves: this is what is tokenised
    equal      the skeleton with the texts filled in is the real rendering: every place is known
    edited     otherwise the template edits what it sees (cuts thinking blocks, escapes JSON, writes
               a header by length); each text's place is what changes when a mark replaces it

No text is searched for by its own words, so that no completion can move a boundary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pm_audit.data.dialogue import Dialogue, Speaker
from pm_audit.errors import ModelError
from pm_audit.text import day as days
from pm_audit.text.rendered import Rendered, Span, joined

ROLES = {Speaker.SYSTEM: "system", Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
_PRIVATE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE))
"""Characters that Unicode leaves to private use."""

Part = tuple[str, int, bool, bool]
"""Text before a mark, the mark's number, and whether blanks before and after the mark are kept."""


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """The chat template of one tokenizer."""

    tokenizer: Any
    day: date | None
    """Day that the template gets for today; None for the default."""
    special: Callable[[str], list[str]]
    """Returns the special tokens in a text."""
    _skeletons: dict[tuple[str, tuple[str, ...]], tuple[list[Part], str] | None] = field(
        default_factory=dict
    )

    def render(self, turns: Dialogue, completion: str) -> Rendered:
        """Return a prompt and one completion, written out.

        Raises:
            ModelError: the template refuses the dialogue, leaves out the completion, or edits a
                text beyond recognition.

        """
        roles = (*(ROLES[turn.speaker] for turn in turns), "assistant")
        texts = [*(turn.text for turn in turns), completion]
        mark = _unused(self._template, *texts)
        real = self._write(roles, texts)
        filled = self._filled(roles, texts, mark)
        if filled is not None and filled.text == real:
            return filled
        return self._edited(roles, texts, real, mark)

    def around(self) -> tuple[str, str]:
        """Return what the template writes before and after one message that it is to answer.

        Raises:
            ModelError: the template refuses such a message, or writes it more than once.

        """
        mark = _unused(self._template)
        before, *after = self.asked(mark).split(mark)
        if len(after) != 1:
            raise ModelError(
                f"the chat template writes a message {len(after)} times where it asks for an "
                "answer; set text_format to raw"
            )
        return before, after[0]

    def asked(self, message: str) -> str:
        """Return one message of the user, up to where the assistant answers.

        Raises:
            ModelError: the template refuses it.

        """
        return self._write(("user",), [message], add_generation_prompt=True)

    @property
    def _template(self) -> str:
        template: str = self.tokenizer.get_chat_template()
        return template

    def _write(
        self, roles: Sequence[str], texts: Sequence[str], *, add_generation_prompt: bool = False
    ) -> str:
        messages = [
            {"role": role, "content": text} for role, text in zip(roles, texts, strict=True)
        ]
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                chat_template=days.pinned(self._template, self.day or days.DEFAULT),
                **days.variables(self.day),
            )
        except Exception as problem:  # a template may raise anything
            raise ModelError(
                f"the chat template refuses this dialogue: {problem}; shape the prompt as it "
                "requires, or choose another text format"
            ) from problem
        return rendered

    def _filled(self, roles: tuple[str, ...], texts: Sequence[str], mark: str) -> Rendered | None:
        """Return the skeleton with the texts in it; None unless each text has one place."""
        if (mark, roles) not in self._skeletons:
            self._skeletons[mark, roles] = self._skeleton(roles, mark)
        skeleton = self._skeletons[mark, roles]
        if skeleton is None:
            return None
        parts, tail = skeleton
        pieces: list[tuple[str, bool]] = []
        completion = 0
        for before, number, keeps_left, keeps_right in parts:
            kept = texts[number] if keeps_left else texts[number].lstrip()
            kept = kept if keeps_right else kept.rstrip()
            if number == len(texts) - 1:
                completion = len(pieces) + 1
            pieces += [(before, True), (kept, False)]
        return joined([*pieces, (tail, True)], completion=completion)

    def _skeleton(self, roles: tuple[str, ...], mark: str) -> tuple[list[Part], str] | None:
        try:
            written = self._write(roles, [f" {mark}{i}{mark} " for i in range(len(roles))])
        except ModelError:
            return None
        parts: list[Part] = []
        position = 0
        for match in re.finditer(f"( ?){mark}([0-9]+){mark}( ?)", written):
            before = written[position : match.start()]
            parts.append((before, int(match[2]), bool(match[1]), bool(match[3])))
            position = match.end()
        numbers = sorted(number for _, number, _, _ in parts)
        return (parts, written[position:]) if numbers == list(range(len(roles))) else None

    def _edited(self, roles: Sequence[str], texts: Sequence[str], real: str, mark: str) -> Rendered:
        """Return the place of each text in a rendering that edits some of them."""
        untrusted: list[Span] = []
        start = stop = 0
        for number, text in enumerate(texts):
            other = self._write(roles, [*texts[:number], mark, *texts[number + 1 :]])
            (first, last), replaced = _difference(real, other)
            wrote = real[first:last]
            if number == len(texts) - 1:
                if other == real:
                    raise ModelError(
                        "the chat template leaves out the completion; choose another text format"
                    )
                start, stop = first + _beginning(wrote, text), last
            if self._is_untrusted(text, wrote, replaced):
                untrusted.append((first, last))
        return Rendered(real, tuple(_apart(untrusted)), start, stop)

    def _is_untrusted(self, text: str, wrote: str, replaced: str) -> bool:
        """Whether special tokens in what the template made of a text are the text's own."""
        own, found, of_template = map(self.special, (text, wrote, replaced))
        if not own and found == of_template:
            return False
        if not of_template and found == own:
            return True
        if not own:
            raise ModelError(
                f"the chat template writes special tokens ({', '.join(found or of_template)}) by "
                f"what {text[:40]!r} says, or makes them of it; change the text, or choose another "
                "text format"
            )
        raise ModelError(
            f"the chat template edits {text[:40]!r}, which holds the text of a special token "
            f"({', '.join(own)}), and not every special token there is the text's own; leave "
            "special tokens out of prompts and completions"
        )


def _unused(*texts: str) -> str:
    for points in _PRIVATE:
        for point in points:
            if not any(chr(point) in text for text in texts):
                return chr(point)
    raise ModelError("the text holds every private-use character of Unicode; leave them out")


def _difference(real: str, other: str) -> tuple[Span, str]:
    """Return the span of the first text that differs, and what the other has in its place."""
    most = min(len(real), len(other))
    first = next((i for i in range(most) if real[i] != other[i]), most)
    same = 0
    while same < most - first and real[-1 - same] == other[-1 - same]:
        same += 1
    return (first, len(real) - same), other[first : len(other) - same]


def _beginning(wrote: str, text: str) -> int:
    """Return the beginning of a completion in what the template made of it and its header."""
    whole = next((kept for kept in _kept(text) if kept and wrote.endswith(kept)), None)
    if whole is not None:
        return len(wrote) - len(whole)
    if not wrote or any(kept[:1].lower() == wrote[:1].lower() for kept in _kept(text)):
        return 0
    ends, body = wrote.rstrip(), text.rstrip()
    same = 0
    while same < min(len(ends), len(body)) and ends[-1 - same].lower() == body[-1 - same].lower():
        same += 1
    if same == 0:
        raise ModelError(
            f"the chat template writes {wrote[:40]!r} in place of the completion {text[:40]!r}; "
            "change the completion, or choose another text format"
        )
    return len(ends) - same


def _kept(text: str) -> Iterator[str]:
    yield from (text, text.rstrip(), text.lstrip(), text.strip())


def _apart(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield spans in order, those that overlap as one."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        elif start < stop:
            merged.append((start, stop))
    yield from merged
