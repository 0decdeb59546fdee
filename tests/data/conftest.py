from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSONL, those that are bytes as they are; return the file."""

    def write(*rows: object, name: str = "set.jsonl") -> Path:
        path = tmp_path / name
        written = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path.write_bytes(b"\n".join(written) + b"\n")
        return path

    return write
