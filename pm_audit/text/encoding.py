"""Token ids as transformers makes them of the whole text, with people's special tokens inert.

The text is tokenised in one call, never in pieces: special tokens may swallow white space around
them, and prefix-space schemes and normalizers depend on the text before.  If a prompt or
completion holds the text of a special token, a copy of the tokenizer is called in which special
tokens have private names.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pm_audit.errors import ModelError
from pm_audit.text.inert import InertCopy, inert_copy
from pm_audit.text.rendered import Rendered, Span

Found = tuple[int, int, int]
"""A special token in a text: first and last-plus-one character, and its id."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of one text, or of the two texts of a pair."""

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    """[token], characters of the text that it holds; white space that it swallows is left out."""
    parts: tuple[int | None, ...]
    """[token], 0 or 1 for its text; None if the tokenizer itself added it."""
    types: tuple[int, ...]
    """[token], the token type that the tokenizer gives."""

    def without_opening(self) -> Encoded:
        """Return the tokens without those that the tokenizer itself put first."""
        first = next((i for i, part in enumerate(self.parts) if part is not None), 0)
        return Encoded(
            self.ids[first:], self.offsets[first:], self.parts[first:], self.types[first:]
        )


class LibraryEncoder:
    """Encodes as transformers does, with one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._copy: InertCopy | None = None

    def encode(self, rendered: Rendered, *, framed: bool) -> Encoded:
        """Return a text's tokens; if ``framed``, with the tokenizer's own, such as BOS."""
        whole = self._library(rendered.text, None, framed=framed)
        if all(_inside(found, rendered.trusted()) for found in self._special_in(whole, [rendered])):
            return whole
        marks = [
            (start + first, start + last, token)
            for start, stop in rendered.trusted()
            for first, last, token in self._written_in(rendered.text[start:stop])
        ]
        return self._inertly(rendered.text, marks, framed=framed)

    def encode_pair(self, first: str, second: str) -> Encoded:
        """Return the tokens of two texts of people, with the tokenizer's own around them."""
        whole = self._library(first, second, framed=True)
        texts = [Rendered(text, ((0, len(text)),), 0, 0) for text in (first, second)]
        if not self._special_in(whole, texts):
            return whole
        copy = self._copy_for([first, second])
        # transformers takes an empty second text for none
        encoding = copy.tokenizer.encode(first, second or None)
        return self._real(encoding, copy)

    def written(self, text: str) -> list[str]:
        """Return the special tokens that the tokenizer would read in a text."""
        return [text[first:last] for first, last, _ in self._written_in(text)]

    def _library(self, text: str, pair: str | None, *, framed: bool) -> Encoded:
        encoding = self.tokenizer(text, pair, add_special_tokens=framed).encodings[0]
        return self._narrowed(encoding, encoding.ids, [text, pair or ""])

    @cached_property
    def _special(self) -> dict[int, str]:
        added = self.tokenizer.added_tokens_decoder
        return {number: str(token) for number, token in added.items() if token.special}

    def _special_in(self, encoded: Encoded, texts: Sequence[Rendered]) -> list[Found]:
        """Return the special tokens that were read in texts."""
        found = []
        for token, (start, stop), part in zip(
            encoded.ids, encoded.offsets, encoded.parts, strict=True
        ):
            if part is None or token not in self._special:
                continue
            text = texts[part].text[start:stop]
            # the unknown token stands for any text without a token
            if token != self.tokenizer.unk_token_id or _names(self._special[token], text):
                found.append((start, stop, token))
        return found

    def _written_in(self, text: str) -> list[Found]:
        encoded = self._library(text, None, framed=False)
        return self._special_in(encoded, [Rendered(text, (), 0, 0)])

    def _inertly(self, text: str, marks: list[Found], *, framed: bool) -> Encoded:
        """Return the tokens with special tokens in the marked places only."""
        copy = self._copy_for([text])
        while True:
            spelled = _Spelled(text, marks, copy)
            encoding = copy.tokenizer.encode(spelled.text, add_special_tokens=framed)
            real = self._real(encoding, copy, spelled)
            read = set(zip(real.ids, real.offsets, strict=True))
            kept = [mark for mark in marks if (mark[2], mark[:2]) in read]
            if len(kept) == len(marks):
                return real
            # such as a token that is only one as a word of its own, next to a letter
            marks = kept

    def _copy_for(self, texts: Iterable[str]) -> InertCopy:
        """Return a copy whose private names are in none of the texts."""
        if self.tokenizer.split_special_tokens:
            raise ModelError(
                "a text holds the text of a special token, which this tokenizer reads as that token"
                " although split_special_tokens is set; leave special tokens out of prompts and "
                "completions"
            )
        texts = list(texts)
        if self._copy is None or any(self._copy.nonce in text.lower() for text in texts):
            self._copy = inert_copy(self.tokenizer.backend_tokenizer, texts)
        return self._copy

    def _real(self, encoding: Any, copy: InertCopy, spelled: _Spelled | None = None) -> Encoded:
        """Return the copy's tokens under their real ids and places."""
        ids = [
            token if part is None else copy.own_ids.get(token, token)
            for token, part in zip(encoding.ids, encoding.sequence_ids, strict=True)
        ]
        if spelled is None:
            return self._encoded(encoding, ids, encoding.offsets)
        offsets = [(spelled.place(start), spelled.place(stop)) for start, stop in encoding.offsets]
        return self._narrowed(encoding, ids, [spelled.original], offsets)

    def _narrowed(
        self,
        encoding: Any,
        ids: Sequence[int],
        texts: Sequence[str],
        offsets: Sequence[Span] | None = None,
    ) -> Encoded:
        """Leave out the white space that special tokens swallow."""
        spans = encoding.offsets if offsets is None else offsets
        narrow = [
            _stripped(texts[part], span, self._special[token])
            if part is not None and token in self._special
            else span
            for token, span, part in zip(ids, spans, encoding.sequence_ids, strict=True)
        ]
        return self._encoded(encoding, ids, narrow)

    def _encoded(self, encoding: Any, ids: Sequence[int], offsets: Sequence[Span]) -> Encoded:
        return Encoded(
            tuple(ids), tuple(offsets), tuple(encoding.sequence_ids), tuple(encoding.type_ids)
        )


class _Spelled:
    """A text with private names in some places, and the way back to its own characters."""

    def __init__(self, original: str, marks: Sequence[Found], copy: InertCopy) -> None:
        self.original = original
        self.text = ""
        self._starts, self._own, self._linear = [0], [0], [True]
        position = 0
        for start, stop, token in marks:
            self.text += original[position:start]
            self._begin(start, linear=False)
            self.text += copy.names[token]
            self._begin(stop, linear=True)
            position = stop
        self.text += original[position:]

    def _begin(self, own: int, *, linear: bool) -> None:
        self._starts.append(len(self.text))
        self._own.append(own)
        self._linear.append(linear)

    def place(self, position: int) -> int:
        """Return the original's character for one of this text."""
        run = bisect.bisect_right(self._starts, position) - 1
        beyond = position - self._starts[run]
        if self._linear[run]:
            return self._own[run] + beyond
        return self._own[run] if beyond == 0 else self._own[run + 1]


def _inside(found: Found, spans: Iterable[Span]) -> bool:
    return any(start <= found[0] and found[1] <= stop for start, stop in spans)


def _names(content: str, text: str) -> bool:
    return content.casefold() in text.casefold() if content else False


def _stripped(text: str, span: Span, content: str) -> Span:
    """Return the part of a special token's span that is the token itself."""
    held = text[span[0] : span[1]]
    at = held.find(content)
    if at >= 0:
        return span[0] + at, span[0] + at + len(content)
    short = held.strip()
    if not short:
        return span
    at = held.index(short)
    return span[0] + at, span[0] + at + len(short)
