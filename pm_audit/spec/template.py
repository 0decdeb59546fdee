"""Templates: ``{field}`` stands for a prompt's field, ``{{`` and ``}}`` for the braces themselves.

A template is read once.  What a field puts in is never read again, so text that happens to hold
braces, or that someone hostile wrote, arrives letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 65_536
"""Characters of the longest completion or turn after its fields are filled in."""

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place that a field fills."""

    field: str


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and placeholders, in order."""

    parts: tuple[str | Placeholder, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            ValueError: a brace that belongs neither to a placeholder nor to a pair.

        """
        parts: list[str | Placeholder] = []
        end = 0
        for piece in _PIECE.finditer(text):
            if piece.start() > end:
                parts.append(text[end : piece.start()])
            if piece[1]:
                parts.append(Placeholder(piece[1]))
            elif len(piece[0]) == 2:
                parts.append(piece[0][0])
            else:
                brace, near = piece[0], text[piece.start() : piece.start() + 20]
                raise ValueError(
                    f"{near!a} is not a placeholder: write {{field}} to fill a field in, "
                    f"or {brace * 2} for the brace itself"
                )
            end = piece.end()
        if end < len(text):
            parts.append(text[end:])
        return cls(tuple(parts))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields used, each once, in order of first use."""
        return tuple(dict.fromkeys(p.field for p in self.parts if isinstance(p, Placeholder)))

    def length(self, values: Mapping[str, str]) -> int:
        """Return how many characters :meth:`fill` would give, without building them."""
        return sum(
            len(values[part.field]) if isinstance(part, Placeholder) else len(part)
            for part in self.parts
        )

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with every placeholder replaced by its field's value.

        Raises:
            KeyError: a field without a value.
            ValueError: the text would be longer than ``LONGEST`` characters.

        """
        length = self.length(values)
        if length > LONGEST:
            raise ValueError(f"grows to {length:,} characters, at most {LONGEST:,} are allowed")
        return "".join(
            values[part.field] if isinstance(part, Placeholder) else part for part in self.parts
        )


def escape(text: str) -> str:
    """Return a template that stands for ``text`` as it is."""
    return text.replace("{", "{{").replace("}", "}}")
