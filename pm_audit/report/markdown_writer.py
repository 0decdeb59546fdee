"""The one way to a Markdown page: every value is escaped where it enters the page.

Templates are the project's own text; the values that fill them are prose without markup, unless
wrapped: ``Code`` becomes a code span, ``Markup`` is the project's own.  A field that is added to a
report later is escaped like the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pm_audit.report import sanitise


@dataclass(frozen=True, slots=True)
class Code:
    """Text of a record that is shown in a code span."""

    text: str


@dataclass(frozen=True, slots=True)
class Number:
    """A figure as ``figures`` writes it, which needs no escape; escaped if it is anything else."""

    text: str


@dataclass(frozen=True, slots=True)
class Markup:
    """The project's own markup: a template, filled with values that are escaped."""

    template: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Lines:
    """Values of one table cell, one under the other."""

    values: tuple[Value, ...]


Value = str | Code | Number | Markup | Lines

_FIGURE = re.compile(r"(?:[-+0-9.,%\[\] ]|sigma|unbounded|of the gap|seen)*")


class MarkdownWriter:
    """A page, block by block."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def heading(self, level: int, text: Value) -> None:
        """Add a heading."""
        self._block([f"{'#' * level} {_safe(text)}"])

    def paragraph(self, template: str, *values: Value) -> None:
        """Add a paragraph: the project's own template, filled with values."""
        self._block([_safe(Markup(template, values))])

    def quote(self, template: str, *values: Value) -> None:
        """Add a quoted paragraph, for what a reader must know first."""
        self._block([f"> {_safe(Markup(template, values))}"])

    def bullets(self, items: Sequence[Value]) -> None:
        """Add a list."""
        if items:
            self._block([f"* {_safe(item)}" for item in items])

    def table(self, header: Sequence[Value], rows: Sequence[Sequence[Value]]) -> None:
        """Add a table."""
        lines = [_row(header), "| --- " * len(header) + "|", *(_row(row) for row in rows)]
        self._block(lines)

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines).rstrip("\n") + "\n"

    def _block(self, lines: Sequence[str]) -> None:
        self._lines += [*lines, ""]


def _row(cells: Sequence[Value]) -> str:
    return f"| {' | '.join(sanitise.markdown_cell(_safe(cell)) for cell in cells)} |"


def _safe(value: Value) -> str:
    match value:
        case Code(text):
            return sanitise.markdown_code(text)
        case Number(text) if _FIGURE.fullmatch(text):
            return text
        case Number(text):
            return sanitise.markdown(text)
        case Markup(template, values):
            return template.format(*(_safe(inner) for inner in values))
        case Lines(values):
            return "<br>".join(_safe(inner) for inner in values)
        case _:
            return sanitise.markdown(value)
