"""Every figure, outcome and check of a report, explained once: formula, sign, and how to read it.

``glossary.toml`` holds the figures and outcomes; a check's rule explains itself.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pm_audit.judging import rules


@dataclass(frozen=True, slots=True)
class Entry:
    """One term."""

    name: str
    short: str
    """One line, without a full stop."""
    reading: str
    """How to read it, and what it does not say."""
    formula: str = ""
    """Plain text; empty if there is none."""


def entries() -> tuple[Entry, ...]:
    """Return every term: figures and outcomes, then the checks of this installation."""
    checks = (Entry(f"check-{name}", rule.title, rule.passes) for name, rule in rules().items())
    return (*_figures(), *checks)


@cache
def _figures() -> tuple[Entry, ...]:
    terms = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Entry(name, **texts) for name, texts in terms.items())


def find(name: str) -> Entry | None:
    """Return the entry of a term, in upper or lower case."""
    return next((entry for entry in entries() if entry.name == name.strip().lower()), None)


def text(entry: Entry) -> str:
    """Return an entry as a few lines of plain text."""
    body = [entry.formula, entry.reading] if entry.formula else [entry.reading]
    return "\n  ".join([f"{entry.name}: {entry.short}.", *body])
