"""The options that a tokenizer's files give an added token: their names must be printable.

The library behind fast tokenizers prints the name of an unknown option to the process's own
output, so a name that could steer a terminal or a job is refused first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint

_FILES = ("tokenizer_config.json", "special_tokens_map.json")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,80}")


def refuse_unprintable_options(checkpoint: Checkpoint) -> None:
    """Refuse tokens with an option whose name is not a plain word."""
    for file in _FILES:
        for option in _options(_read(checkpoint.folder / file)):
            if not _PLAIN.fullmatch(option):
                raise ModelError(
                    f"{checkpoint.name}: {file} gives a token the option {ascii(option)[:60]}, "
                    "which is not the name of one; remove it, or fetch the tokenizer's own files"
                )


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None  # transformers reports what is wrong with it


def _options(data: object) -> Iterator[str]:
    """Yield the options of each token, at any depth."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "content" in value:
                yield from value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
