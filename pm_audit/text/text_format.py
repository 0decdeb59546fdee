"""How a dialogue and a completion become tokens: written out, ended, and tokenised as one text.

    dialogue -> Rendered     text/layouts, text/template   the format's words, people's texts
      -> ended               text/ending                   EOS as the trainer put it
      -> Encoded             text/encoding                 transformers' own ids of the whole text
      -> TokenisedRow        here                          with the completion's first token

The offsets of the joint tokenisation give the completion's first token; the prompt is never
tokenised separately.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

from pm_audit.data.dialogue import Dialogue
from pm_audit.errors import ModelError, TooLongError
from pm_audit.text import day as days
from pm_audit.text.encoding import Encoded, LibraryEncoder
from pm_audit.text.ending import AS_WRITTEN, BOS, OPENRLHF, STARTS, ending
from pm_audit.text.layouts import LAYOUTS
from pm_audit.text.rendered import Rendered
from pm_audit.text.template import ChatTemplate

PAIR, CHAT = "pair", "chat"
NAMES = (*LAYOUTS, CHAT, PAIR)


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
    completion_stop: int | None = None
    """Index of the first token after the last that holds a part of the completion; None for the
    end of the row."""
    segments: tuple[int, ...] | None = None
    """[token], 0 for the prompt and 1 for the completion, if the tokenizer marks pairs."""


@dataclass(frozen=True)
class TextSettings:
    """What the user sets about texts, under the settings' own names; None takes the PM's own."""

    text_format: str | None = None
    """One of ``NAMES``."""
    text_end: str | None = None
    """One of ``ENDINGS``, or a special token that is appended."""
    text_start: str | None = None
    """One of ``STARTS``; None for the first of them."""
    text_date: date | None = None
    """Day that a chat template gets for today; None for 2024-07-26."""

    def bound(self, tokenizer: Any, name: str, **fields: Any) -> TextFormat:
        """Return the format for a tokenizer; ``name`` is that of the PM, if none is set."""
        return TextFormat(
            self.text_format or name,
            tokenizer,
            end=self.text_end or AS_WRITTEN,
            start=self.text_start or BOS,
            day=self.text_date,
            **fields,
        )


@dataclass(frozen=True, eq=False)
class TextFormat:
    """One way of writing dialogues out, for one tokenizer.

    Raises:
        ModelError: at construction, if the name or the ending is unknown, or the tokenizer gives
            no offsets or has no chat template that is needed.

    """

    name: str
    """One of ``NAMES``."""
    tokenizer: Any
    appended: tuple[int, ...] = ()
    """Token ids after everything else, at which some PMs read their reward."""
    longest: int | None = None
    """Most tokens that the PM reads; None for no limit."""
    limit: str = ""
    """Why it reads no more, if its number of positions is not the reason."""
    end: str = AS_WRITTEN
    """How a text ends: one of ``ENDINGS``, or a special token that is appended."""
    start: str = BOS
    """How a text begins: one of ``STARTS``."""
    day: date | None = None
    """Day that a chat template gets for today; None for the default."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ModelError(
                f"text format {self.name!r} is unknown; choose one of {', '.join(NAMES)}"
            )
        if not getattr(self.tokenizer, "is_fast", False):
            raise ModelError(
                f"{type(self.tokenizer).__name__} gives no character offsets; save the tokenizer "
                "as tokenizer.json (a fast tokenizer)"
            )
        if self.start not in STARTS:
            raise ModelError(
                f"text_start {self.start!r} is unknown; choose one of {', '.join(STARTS)}"
            )
        if self.name == CHAT:
            self._require_template()
        if self.name == PAIR and (self.end, self.start) != (AS_WRITTEN, BOS):
            raise ModelError(
                "text_end or text_start was set, and a pair of texts begins and ends as its "
                "tokenizer has it; leave the settings out"
            )
        _ = self._ended

    def tokenise(self, turns: Dialogue, completion: str) -> TokenisedRow:
        """Write out and tokenise one completion of a prompt, whose last turn is the human's.

        Args:
            turns: the prompt.
            completion: with its leading space, which some formats drop.

        Raises:
            TooLongError: the text is longer than the PM reads.
            ModelError: its template fails.

        """
        if self.name == PAIR:
            return self._checked(self._pair(turns, completion))
        rendered = self._ended(self._written(turns, completion))
        encoded = self._encoder.encode(rendered, framed=self.framed)
        return self._checked(self._row(rendered, encoded))

    def token_name(self, token_id: int) -> str:
        """Return the name, in reports, of a token without a character of the text."""
        added = self.tokenizer.added_tokens_decoder.get(token_id)
        if added is not None:
            return str(added)
        text: str = self.tokenizer.decode([token_id])
        if text.strip():
            return text
        return "closing line break" if "\n" in text else "closing white space"

    @property
    def framed(self) -> bool:
        """Whether the tokenizer adds its special tokens; a chat template writes its own."""
        return self.name != CHAT and self.end != OPENRLHF

    @property
    def opening(self) -> tuple[int, ...]:
        """Token ids that begin a text whose chat template does not write them."""
        written = self.end == OPENRLHF or self.start == AS_WRITTEN
        return self._opening if self.name == CHAT and not written else ()

    @property
    def settings(self) -> str:
        """JSON of what else decides tokens than tokenizer and format; empty if nothing does."""
        held: dict[str, str] = {} if self.end == AS_WRITTEN else {"end": self.end}
        if self.start != BOS:
            held["start"] = self.start
        if self.name == CHAT:
            held["template"] = self.tokenizer.get_chat_template()
        if self.written_day is not None:
            held["day"] = self.written_day
        return json.dumps(held, sort_keys=True) if held else ""

    @property
    def written_day(self) -> str | None:
        """The day that the chat template gets for today; None if it takes none."""
        if self.name != CHAT:
            return None
        template = self.tokenizer.get_chat_template()
        if self.day is None and not days.reads_clock(template):
            return None
        return str(self.day or days.DEFAULT) if days.takes_day(template) else None

    def _require_template(self) -> None:
        try:
            if self.tokenizer.chat_template and self.tokenizer.get_chat_template():
                return
        except ValueError as problem:
            names = ", ".join(sorted(self.tokenizer.chat_template))
            raise ModelError(
                f"the tokenizer has several chat templates, {names}, and none is named default; "
                "save it with the one that the PM was trained on"
            ) from problem
        plain = ", ".join(name for name in NAMES if name != CHAT)
        raise ModelError(
            "the tokenizer has no chat template, so set text_format to another than chat, the "
            f"one that the PM was trained on: {plain}"
        )

    def _written(self, turns: Dialogue, completion: str) -> Rendered:
        if self.name == CHAT:
            return self._template.render(turns, completion.removeprefix(" "))
        return LAYOUTS[self.name].write(turns, completion)

    def _row(self, rendered: Rendered, encoded: Encoded) -> TokenisedRow:
        if self.start == AS_WRITTEN:
            encoded = encoded.without_opening()
        opening = self.opening
        if encoded.ids[: len(opening)] == opening:
            opening = ()
        end = len(rendered.text)
        ids = (*opening, *encoded.ids, *self.appended)
        of_text = [index for index, part in enumerate(encoded.parts) if part is not None]
        last = of_text[-1] if of_text else encoded.parts.count(None) - 1
        offsets = [(0, 0)] * len(opening)
        for index, span in enumerate(encoded.offsets):
            offsets.append((end, end) if index > last else span)
        offsets += [(end, end)] * len(self.appended)
        after = len(opening) + last + 1
        start = next((i for i, (_, stop) in enumerate(offsets) if stop > rendered.start), after)
        stop = _after(offsets[:after], start, rendered.stop)
        return TokenisedRow(ids, start, tuple(offsets), rendered.text, stop)

    def _checked(self, row: TokenisedRow) -> TokenisedRow:
        if self.longest is not None and len(row.token_ids) > self.longest:
            raise TooLongError(
                f"a text of {len(row.token_ids)} tokens is longer than the {self.longest} that the "
                f"PM reads{self.limit and f' ({self.limit})'}: {row.text[:60]!r}...; shorten the "
                "prompt or the completion"
            )
        return row

    @cached_property
    def _ended(self) -> Any:
        return ending(self.end, self.tokenizer)

    @cached_property
    def _encoder(self) -> LibraryEncoder:
        return LibraryEncoder(self.tokenizer)

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self.tokenizer, self.day, self._encoder.written)

    @cached_property
    def _opening(self) -> tuple[int, ...]:
        """Token ids that the tokenizer itself puts before any text."""
        encoding = self.tokenizer("a").encodings[0]
        parts = encoding.sequence_ids
        first = next((index for index, part in enumerate(parts) if part is not None), 0)
        return tuple(encoding.ids[:first])

    def _pair(self, turns: Dialogue, completion: str) -> TokenisedRow:
        """Tokenise prompt and completion as the two texts of a pair."""
        prompt = "\n\n".join(turn.text for turn in turns)
        answer = completion.removeprefix(" ")
        encoded = self._encoder.encode_pair(prompt, answer)
        shift = (0, len(prompt))
        offsets = tuple(
            (0, 0) if part is None else (first + shift[part], last + shift[part])
            for part, (first, last) in zip(encoded.parts, encoded.offsets, strict=True)
        )
        start = encoded.parts.index(1) if 1 in encoded.parts else len(encoded.ids)
        stop = _after(offsets, start, len(prompt + answer))
        row = TokenisedRow(encoded.ids, start, offsets, prompt + answer, stop)
        marked = "token_type_ids" in self.tokenizer.model_input_names
        return replace(row, segments=encoded.types if marked else None)


def _after(offsets: Sequence[tuple[int, int]], start: int, stop: int) -> int:
    """Return the index after the last token from ``start`` with a character before ``stop``.

    Some tokenizers give white space an empty span, at its end.
    """
    after = start
    for at, (first, last) in enumerate(offsets[start:], start):
        begin = offsets[at - 1][1] if first == last and at else first
        if begin < min(last, stop):
            after = at + 1
    return after
