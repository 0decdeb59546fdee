"""A dialogue and a completion as one text, and which part of it who wrote.

Only the format's own parts may hold special tokens: special-token text in a prompt or completion
stays ordinary text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

Span = tuple[int, int]
"""First and last-plus-one character."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A dialogue and one completion, written out."""

    text: str
    untrusted: tuple[Span, ...]
    """What people wrote, in order; none of these overlap."""
    start: int
    """The completion's first character."""
    stop: int
    """The character after the completion's last."""

    def trusted(self) -> Iterator[Span]:
        """Yield what the format wrote, in order."""
        position = 0
        for start, stop in self.untrusted:
            if position < start:
                yield position, start
            position = max(position, stop)
        if position < len(self.text):
            yield position, len(self.text)

    def cut(self, length: int) -> Rendered:
        """Return the first ``length`` characters."""
        kept = ((start, min(stop, length)) for start, stop in self.untrusted if start < length)
        return replace(
            self,
            text=self.text[:length],
            untrusted=tuple(kept),
            start=min(self.start, length),
            stop=min(self.stop, length),
        )

    def followed_by(self, text: str) -> Rendered:
        """Return this with a text of the format's own after it."""
        return replace(self, text=self.text + text)


def joined(pieces: Iterable[tuple[str, bool]], *, completion: int) -> Rendered:
    """Return pieces as one text: each is a text, and whether the format wrote it.

    ``completion`` is the index of the completion's piece.
    """
    text, untrusted = "", []
    start = stop = 0
    for index, (piece, trusted) in enumerate(pieces):
        span = (len(text), len(text) + len(piece))
        text += piece
        if index == completion:
            start, stop = span
        if piece and not trusted:
            untrusted.append(span)
    return Rendered(text, tuple(untrusted), start, stop)
