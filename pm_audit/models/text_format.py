"""How a dialogue and a completion become tokens: written out, tokenised together, cut by offsets.

A text is a list of pieces.  The format's own pieces may hold special tokens; what people wrote
may not: special-token text in a prompt or completion stays plain text.  The completion's first
token is found by the offsets of the joint tokenisation, never by tokenising the prompt apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pm_audit.errors import ModelError
from pm_audit.spec.dialogue import Dialogue, Speaker

PAIR, CHAT = "pair", "chat"


@dataclass(frozen=True)
class TokenisedRow:
    """One completion of one prompt, tokenised jointly."""

    token_ids: tuple[int, ...]
    completion_start: int
    """Index of the first token that holds a part of the completion."""
    offsets: tuple[tuple[int, int], ...]
    """[token], first and last-plus-one character of ``text``; empty for added special tokens."""
    text: str
    """Prompt and completion as they were written out."""
    segments: tuple[int, ...] | None = None
    """[token], 0 for the prompt and 1 for the completion, where the tokenizer marks pairs."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; only a trusted one may hold special tokens."""

    text: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """What a plain format writes around each turn; the text itself goes between."""

    human: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] = ("", "\n\n")
    cue: str = ""
    """Written before the completion."""
    end: str = ""
    """Written after the completion."""
    start: str = ""
    """Written before everything."""
    keeps_space: bool = True
    """Whether a completion keeps the space that it starts with."""


LAYOUTS: dict[str, Layout] = {
    "hh": Layout(("\n\nHuman: ", ""), ("\n\nAssistant: ", ""), cue="\n\nAssistant:"),
    "raw": Layout(("", ""), ("", "")),
    "oasst": Layout(
        ("<|prompter|>", "<|endoftext|>"),
        ("<|assistant|>", "<|endoftext|>"),
        system=("<|system|>", "<|endoftext|>"),
        cue="<|assistant|>",
        end="<|endoftext|>",
        keeps_space=False,
    ),
    "beaver": Layout(
        (" USER: ", ""), (" ASSISTANT:", ""), start="BEGINNING OF CONVERSATION:", cue=" ASSISTANT:"
    ),
    "ultra": Layout(("Human: ", "\n\n"), ("Assistant: ", "\n\n"), cue="Assistant:"),
}
NAMES = (*LAYOUTS, CHAT, PAIR)


@dataclass(frozen=True, eq=False)
class TextFormat:
    """One way of writing dialogues out, for one tokenizer.

    Raises:
        ModelError: at construction, where the name is unknown, the tokenizer gives no offsets, or
            a chat format is asked of a tokenizer without a template.

    """

    name: str
    """One of ``NAMES``."""
    tokenizer: Any
    appended: tuple[int, ...] = ()
    """Token ids after everything else, at which some PMs read their reward."""
    longest: int | None = None
    """Most tokens that the PM reads; None where there is no limit."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ModelError(f"text format {self.name!r} is unknown; choose of {', '.join(NAMES)}")
        if not getattr(self.tokenizer, "is_fast", False):
            raise ModelError(
                f"{type(self.tokenizer).__name__} gives no character offsets; save the tokenizer "
                "as tokenizer.json (a fast tokenizer)"
            )
        if self.name == CHAT and not self.tokenizer.chat_template:
            plain = ", ".join(name for name in NAMES if name != CHAT)
            raise ModelError(
                "the tokenizer has no chat template, so set text_format to another than chat, the "
                f"one that the PM was trained on: {plain}"
            )

    def tokenise(self, turns: Dialogue, completion: str) -> TokenisedRow:
        """Write out and tokenise one completion of a prompt.

        Args:
            turns: the prompt; its last turn is the human's.
            completion: with its leading space, which formats without one drop.

        Raises:
            ModelError: the text is longer than the PM reads, or its template fails.

        """
        if self.name == PAIR:
            return self._checked(self._pair(turns, completion))
        if self.name == CHAT:
            before, written, after = self._chat(turns, completion.removeprefix(" "))
        else:
            layout = LAYOUTS[self.name]
            before, after = _written(layout, turns)
            written = completion if layout.keeps_space else completion.removeprefix(" ")
        start = sum(len(piece.text) for piece in before)
        pieces = [*before, Piece(written, trusted=False), *after]
        ids, offsets = self._encode(pieces)
        opening, closing = self._frame
        if self.name == CHAT:
            # The template writes its own frame; the tokenizer's opening is added only once.
            closing = ()
            opening = () if ids[: len(opening)] == list(opening) else opening
        text = "".join(piece.text for piece in pieces)
        closing = (*closing, *self.appended)
        ids = [*opening, *ids, *closing]
        offsets = [(0, 0)] * len(opening) + offsets + [(len(text), len(text))] * len(closing)
        return self._checked(TokenisedRow(tuple(ids), _first(offsets, start), tuple(offsets), text))

    def _checked(self, row: TokenisedRow) -> TokenisedRow:
        if self.longest is not None and len(row.token_ids) > self.longest:
            raise ModelError(
                f"a text of {len(row.token_ids)} tokens is longer than the {self.longest} that the "
                f"PM reads: {row.text[:60]!r}...; shorten the prompt or the completion"
            )
        return row

    @cached_property
    def _frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids that the tokenizer itself puts before and after any text."""
        framed = self.tokenizer("a", add_special_tokens=True).input_ids
        bare = self.tokenizer("a", add_special_tokens=False).input_ids
        for first in range(len(framed) - len(bare) + 1):
            if framed[first : first + len(bare)] == bare:
                return tuple(framed[:first]), tuple(framed[first + len(bare) :])
        raise ModelError("the tokenizer rewrites text when it adds special tokens; use another one")

    def _encode(self, pieces: Sequence[Piece]) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokenise the pieces' text as one; special tokens only where a trusted piece has them."""
        text = "".join(piece.text for piece in pieces)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for start, end, special in self._runs(pieces):
            if special is not None:
                ids.append(special)
                offsets.append((start, end))
                continue
            run = self.tokenizer(
                text[start:end],
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
            ids.extend(run.input_ids)
            offsets.extend((start + first, start + last) for first, last in run.offset_mapping)
        return ids, offsets

    def _runs(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, int, int | None]]:
        """Cut the text at the special tokens of trusted pieces: (start, end, token id or None)."""
        position = run_start = 0
        for piece in pieces:
            found = self._special.finditer(piece.text) if piece.trusted and self._special else ()
            for match in found:
                if run_start < position + match.start():
                    yield run_start, position + match.start(), None
                run_start = position + match.end()
                special = self.tokenizer.convert_tokens_to_ids(match[0])
                yield position + match.start(), run_start, special
            position += len(piece.text)
        if run_start < position:
            yield run_start, position, None

    @cached_property
    def _special(self) -> re.Pattern[str] | None:
        """Matches the text of any special token, the longest first."""
        known = self.tokenizer.added_tokens_decoder.values()
        words = sorted((str(token) for token in known if token.special), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, words))) if words else None

    def _chat(self, turns: Dialogue, completion: str) -> tuple[list[Piece], str, list[Piece]]:
        """Return pieces before, the completion, and pieces after, as the template writes them.

        The template sees marks in place of all texts, so nothing that somebody wrote can change
        what it does; whether it strips the texts is seen from the marks' spaces.
        """
        marks = [f"\ue000{index}\ue001" for index in range(len(turns) + 1)]
        roles = {Speaker.SYSTEM: "system", Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
        speakers = [*(turn.speaker for turn in turns), Speaker.ASSISTANT]
        messages = [
            {"role": roles[speaker], "content": f" {mark} "}
            for speaker, mark in zip(speakers, marks, strict=True)
        ]
        try:
            rendered = self.tokenizer.apply_chat_template(messages, tokenize=False)
        except Exception as problem:  # a template raises whatever it likes
            raise ModelError(
                f"the chat template refuses this dialogue: {problem}; shape the prompt as it asks, "
                "or choose another text format"
            ) from problem
        pieces: list[Piece] = []
        position = 0
        for mark, text in zip(marks, [*(turn.text for turn in turns), completion], strict=True):
            match = re.compile(f"( ?){mark}( ?)").search(rendered, position)
            if match is None:
                raise ModelError(
                    "the chat template leaves out or reorders a turn; choose another text format"
                )
            kept = text if match[1] else text.lstrip()
            kept = kept if match[2] else kept.rstrip()
            pieces.append(Piece(rendered[position : match.start()], trusted=True))
            pieces.append(Piece(kept, trusted=False))
            position = match.end()
        return pieces[:-1], pieces[-1].text, [Piece(rendered[position:], trusted=True)]

    def _pair(self, turns: Dialogue, completion: str) -> TokenisedRow:
        """Tokenise prompt and completion as the two texts of a pair."""
        prompt = "\n\n".join(turn.text for turn in turns)
        answer = completion.removeprefix(" ")
        encoded = self.tokenizer(
            prompt, answer, split_special_tokens=True, return_offsets_mapping=True
        )
        parts = encoded.sequence_ids()
        shift = (0, len(prompt))
        offsets = tuple(
            (0, 0) if part is None else (first + shift[part], last + shift[part])
            for part, (first, last) in zip(parts, encoded.offset_mapping, strict=True)
        )
        ids = tuple(encoded.input_ids)
        start = parts.index(1) if 1 in parts else len(ids)
        segments = encoded.get("token_type_ids")
        row = TokenisedRow(ids, start, offsets, prompt + answer)
        return replace(row, segments=None if segments is None else tuple(segments))


def _written(layout: Layout, turns: Dialogue) -> tuple[list[Piece], list[Piece]]:
    around = {
        Speaker.SYSTEM: layout.system,
        Speaker.HUMAN: layout.human,
        Speaker.ASSISTANT: layout.assistant,
    }
    pieces = [Piece(layout.start, trusted=True)]
    for turn in turns:
        before, after = around[turn.speaker]
        pieces += [Piece(before, trusted=True), Piece(turn.text, trusted=False)]
        pieces += [Piece(after, trusted=True)]
    pieces.append(Piece(layout.cue, trusted=True))
    return pieces, [Piece(layout.end, trusted=True)]


def _first(offsets: Sequence[tuple[int, int]], start: int) -> int:
    """Return the first token that ends after character ``start``, or the number of tokens."""
    for index, (_, end) in enumerate(offsets):
        if end > start:
            return index
    return len(offsets)
