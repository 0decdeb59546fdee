"""The one way to a terminal: every line and every cell is made safe here.

Reports hand over text as it stands in the record.  A field that is added to a report later is
escaped like the others, because there is no other way into the finished text.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from pm_audit.report import sanitise

WIDTH = 100


class TerminalWriter:
    """Lines of a terminal, cut at ``width`` columns if they are not wrapped."""

    def __init__(self, *, width: int = WIDTH) -> None:
        self._width = width
        self._lines: list[str] = []

    def line(self, text: str = "") -> None:
        """Add one line, cut to the width; line breaks inside become visible."""
        self._lines.append(shortened(sanitise.terminal(text).rstrip(), self._width))

    def whole_line(self, text: str) -> None:
        """Add one line of any length that may hold a node id (``file::name``) inside."""
        self._lines.append(sanitise.terminal_lines(sanitise.visible(text)))

    def wrapped(self, text: str, *, indent: str = "") -> None:
        """Add a sentence on as many lines as it needs; it may hold node ids."""
        lines = textwrap.wrap(
            sanitise.visible(text), self._width, initial_indent=indent, subsequent_indent=indent
        )
        self._lines += map(sanitise.terminal_lines, lines)

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        ruled: bool = False,
        roomy: bool = False,
        indent: str = "",
        titles: Mapping[int, str] | None = None,
    ) -> None:
        """Add a table of text cells.

        ``ruled`` draws a line under the header; ``roomy`` leaves two columns more for each title;
        ``titles`` are lines that stand before rows, by the number of the row.
        """
        safe = [[sanitise.terminal(cell) for cell in row] for row in (header, *rows)]
        if ruled:
            # tabulate pads its own headers by two, which the width has no room for
            columns = range(len(header))
            safe.insert(1, ["-" * max(len(row[at]) for row in safe) for at in columns])
        headers, body = (safe[0], safe[1:]) if roomy else ((), safe)
        table = tabulate(body, headers=headers, tablefmt="plain", disable_numparse=True)
        first_row = 1 + ruled
        for number, line in enumerate(table.split("\n"), start=-first_row):
            if titles and number in titles:
                self.line(titles[number])
            self._lines.append(shortened(f"{indent}{line}".rstrip(), self._width))

    def text(self) -> str:
        """Return everything that was added."""
        return "\n".join(self._lines)


def shortened(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters, with an ellipsis if it was cut."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"
