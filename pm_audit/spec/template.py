"""Templates: ``{field}`` stands for a prompt's field, ``{{`` and ``}}`` for the braces themselves.

A template is read once.  The value of a field is not read again, so braces in it stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 65_536
"""Characters of the longest completion or turn after its fields are filled in."""

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and fields, in order."""

    parts: tuple[tuple[str, str | None], ...]
    """Literal text, and the field that follows it, if one does."""

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            ValueError: a brace that belongs neither to a placeholder nor to a pair.

        """
        parts: list[tuple[str, str | None]] = []
        end = 0
        for piece in _PIECE.finditer(text):
            before, brace = text[end : piece.start()], piece[0][0]
            if len(piece[0]) == 1:
                raise ValueError(
                    f"{text[piece.start() :][:20]!a} is not a placeholder: write {{field}} to fill "
                    f"a field in, or {brace * 2} for the brace itself"
                )
            parts.append((before, piece[1]) if piece[1] else (before + brace, None))
            end = piece.end()
        return cls((*parts, (text[end:], None)))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields used, each once, in order of first use."""
        return tuple(dict.fromkeys(field for _, field in self.parts if field))

    def length(self, values: Mapping[str, str]) -> int:
        """Return how many characters :meth:`fill` would give, without building them."""
        return sum(len(text) + len(values[field] if field else "") for text, field in self.parts)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with every placeholder replaced by its field's value.

        Raises:
            KeyError: a field without a value.
            ValueError: the text would be longer than ``LONGEST`` characters.

        """
        length = self.length(values)
        if length > LONGEST:
            raise ValueError(f"grows to {length:,} characters, at most {LONGEST:,} are allowed")
        return "".join(text + (values[field] if field else "") for text, field in self.parts)
