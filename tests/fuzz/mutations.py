"""Ways in which files of models and SAEs go wrong: values, tensors, bytes, whole files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HUGE = (10**6, 10**9, 2**31, 2**63, 10**30, -(10**9))
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 0.5, -0.25, 1e30, float("nan"), float("inf")),
    *("", "none", "x", "3", "\0", "../up", "/etc/passwd", "a" * 5000, "\ud800", "☃", "topk"),
    *([], [1], [None], ["x"], [[[]]], {}, {"x": 1}, {"k": None}, {"": []}),
    *HUGE,
)
NESTED = "[" * 3000 + "]" * 3000
DTYPES = (
    *(torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool, torch.float16),
    *(torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64),
)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
STRANGE = (
    *(b"", b"{}", b"[]", b"null", b"\0" * 64, b"\xff\xfe{}", POINTER, b"PK\x03\x04" + b"\0" * 40),
    *(b"\x80\x02}q\x00.", b"\x80\x04N.", b"GGUF" + b"\0" * 60, NESTED.encode(), b"{" * 500),
    *(b"\xff" * 8 + b"{}", b"\x10\0\0\0\0\0\0\0{}", b"\x93NUMPY\x01\x00", b'{"a": 1e999999}'),
    b'{"a": ' + b"9" * 6000 + b"}",
)


def mutate_json(held: Any, rng: random.Random) -> Any:
    """Change one to three values of a JSON object, anywhere in it, in place."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(held))
        if not places or rng.random() < 0.08:
            held[rng.choice(("mystery", "scale", "normalize", "quantization_config", "layer"))] = (
                rng.choice(ODD)
            )
            continue
        place, key = rng.choice(places)
        change = rng.random()
        if change < 0.2 and isinstance(place, dict):
            del place[key]
        elif change < 0.4 and isinstance(place[key], int | float):
            place[key] = place[key] * rng.choice((-1, 0, 2, 1000, 10**9)) + rng.choice((0, 1, -1))
        elif change < 0.5:
            place[key] = str(place[key])
        elif change < 0.55:
            place[key] = [place[key]]
        else:
            place[key] = rng.choice(ODD)
    return held


def _places(held: Any) -> list[tuple[Any, Any]]:
    pairs = held.items() if isinstance(held, dict) else enumerate(held)
    found: list[tuple[Any, Any]] = []
    for key, value in list(pairs):
        found.append((held, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def write_json(path: Path, held: Any) -> None:
    text = json.dumps(held, ensure_ascii=True)
    path.write_text(text, encoding="utf-8")


def _elsewhere(tensor: Tensor, rng: random.Random) -> Tensor:
    flat = tensor.float().contiguous().clone()
    if flat.numel():
        flat.view(-1)[rng.randrange(flat.numel())] = rng.choice((float("nan"), float("inf"), 1e38))
    return flat


SHAPES: tuple[Callable[[Tensor, random.Random], Tensor], ...] = (
    lambda t, _: t.T.contiguous() if t.ndim == 2 else t[None],
    lambda t, _: t.reshape(-1),
    lambda t, _: t[None],
    lambda t, _: t[..., None],
    lambda t, _: t[:0] if t.ndim else t,
    lambda t, _: torch.zeros(0),
    lambda t, _: torch.tensor(1.5),
    lambda t, _: t[: max(1, len(t) // 2)] if t.ndim else t,
    lambda t, _: torch.cat([t, t]) if t.ndim else t[None],
    lambda t, _: t[:, :-1] if t.ndim == 2 else t,
    lambda t, r: t.to(r.choice(DTYPES)),
    lambda t, r: t.to(r.choice(DTYPES)),
    lambda t, _: -t.float().abs() if not t.is_complex() else t,
    lambda t, _: t.float() * 1e30,
    _elsewhere,
    _elsewhere,
)


def mutate_tensors(tensors: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """Change one to three of the tensors: shape, dtype, values, names."""
    held = dict(tensors)
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(sorted(held) or ["x"])
        if name not in held:
            return held
        change = rng.random()
        if change < 0.1:
            del held[name]
        elif change < 0.2:
            held[rng.choice(("x", f"{name}_scale", f"{name}.SCB", "module." + name, "k"))] = (
                held[name] if rng.random() < 0.5 else held.pop(name)
            )
        elif change < 0.25:
            other = rng.choice(sorted(held))
            held[name], held[other] = held[other], held[name]
        else:
            held[name] = rng.choice(SHAPES)(held[name], rng)
    return {name: tensor.contiguous().clone() for name, tensor in held.items()}


def mutate_bytes(path: Path, rng: random.Random) -> None:
    """Tear a file: cut it, flip bytes of it, or put something else in its place."""
    content = bytearray(path.read_bytes())
    change = rng.random()
    if change < 0.3:
        del content[rng.randrange(len(content) + 1) :]
    elif change < 0.55:
        for _ in range(rng.choice((1, 2, 8))):
            if content:
                content[rng.randrange(min(len(content), 400))] = rng.randrange(256)
    elif change < 0.75:
        for _ in range(rng.choice((1, 2, 8, 64))):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
    elif change < 0.8:
        content += bytes(rng.randrange(256) for _ in range(64))
    else:
        content = bytearray(rng.choice(STRANGE))
    path.write_bytes(bytes(content))


def mutate_folder(folder: Path, names: list[str], rng: random.Random) -> None:
    """Swap, drop, double or replace whole files."""
    name = rng.choice(names)
    path, change = folder / name, rng.random()
    if change < 0.3:
        other = folder / rng.choice(names)
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif change < 0.5:
        path.unlink()
    elif change < 0.6:
        path.unlink()
        path.mkdir()
    elif change < 0.7:
        path.unlink()
        path.symlink_to(rng.choice(("/etc/passwd", "nowhere", path.name, "..")))
    else:
        path.write_bytes(rng.choice(STRANGE))
