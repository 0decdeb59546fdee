"""What a YAML file holds, as plain values with the place of every key and item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pm_audit.errors import Place

Path = tuple[str | int, ...]
"""How to reach a value from the top: keys of mappings and positions in lists."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a value stands in a file."""

    starts: Place
    """Its key, or the item of a list."""
    shown: Place
    """What messages about it name: the value itself, or the key of a nested block."""


@dataclass(frozen=True, slots=True)
class Node:
    """Dictionaries, lists and scalars, and where each of them stands."""

    value: object
    place: Place
    positions: Mapping[Path, Position] = field(default_factory=dict)
    """By path from this node; the node itself is not among them."""

    def locate(self, path: Path, *, key_meant: bool = False) -> Place:
        """Return the place of the deepest value on ``path`` that exists."""
        for length in range(len(path), 0, -1):
            position = self.positions.get(path[:length])
            if position is not None:
                return position.starts if key_meant else position.shown
        return self.place

    def items(self) -> tuple[Node, ...]:
        """Return the items of a list, each with its own positions; any other node alone."""
        if not isinstance(self.value, list):
            return (self,)
        below: list[dict[Path, Position]] = [{} for _ in self.value]
        for (number, *path), position in self.positions.items():
            below[int(number)][tuple(path)] = position
        return tuple(
            Node(value, positions.pop(()).starts, positions)
            for value, positions in zip(self.value, below, strict=True)
        )

    def lines(self) -> Iterator[tuple[str, int]]:
        """Yield the line of every key and item, as ``("expect.gap", 14)``."""
        for path, position in self.positions.items():
            if position.starts.line is not None:
                yield ".".join(map(str, path)), position.starts.line


def from_python(value: object, name: str) -> Node:
    """Return a node of what was made in Python; each place is its name, ``x.examples[0]``."""
    return Node(value, Place(name), dict(_named(value, (), name)))


def _named(value: object, path: Path, name: str) -> Iterator[tuple[Path, Position]]:
    below: list[tuple[str | int, str, object]] = []
    if isinstance(value, dict):
        below = [(key, f"{name}.{key}", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        below = [(number, f"{name}[{number}]", item) for number, item in enumerate(value)]
    for step, inner, item in below:
        yield (*path, step), Position(Place(inner), Place(inner))
        yield from _named(item, (*path, step), inner)
