"""Texts in which features are looked for: JSONL, gzipped or not, or one text on each line."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

from pm_audit.errors import InvalidSpec, Place, Problem

_ANSWERS = ("completion", "chosen", "rejected")


def read_texts(path: Path, *, seed: int) -> list[str]:
    """Return the file's texts, shuffled.

    A line of JSON holds ``text``, or ``prompt`` with ``completion``, ``chosen`` or ``rejected``;
    a ``.txt`` file holds one text on each line.

    Raises:
        InvalidSpec: a line is something else, or the file holds no text.

    """
    texts = [text for text in _texts(path) if text.strip()]
    if not texts:
        raise InvalidSpec([Problem(Place(str(path)), "holds no text")])
    random.Random(seed).shuffle(texts)  # noqa: S311 - sampling, not secrecy
    return texts


def _texts(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if path.suffix == ".txt":
                    yield line.rstrip("\n")
                else:
                    yield from _of_line(line, Place(str(path), number))
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InvalidSpec([Problem(Place(str(path)), f"cannot be read: {error}")]) from None


def _of_line(line: str, place: Place) -> Iterator[str]:
    try:
        row = json.loads(line)
        if "text" in row:
            yield str(row["text"])
            return
        answers = [str(row[name]) for name in _ANSWERS if name in row]
        prompt = str(row["prompt"])
    except (ValueError, KeyError, TypeError, RecursionError):
        answers, prompt = [], ""
    if not answers:
        message = "each line is a JSON object with text, or with prompt and completion or chosen"
        raise InvalidSpec([Problem(place, message)])
    yield from (f"{prompt.rstrip()} {answer.lstrip()}" for answer in answers)
