"""What a YAML file holds, with the place of everything: scalars, sequences and mappings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pm_audit.errors import Place

Value = str | int | float | bool | None
Path = tuple[str | int, ...]
"""How to reach a node from the top: keys of mappings and positions in sequences."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: text, a number, a boolean or null."""

    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping, where the key stands, and its value."""

    key: str
    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with values, in the order of the file; no key stands twice."""

    entries: tuple[Entry, ...]
    place: Place


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> object:
    """Return the node as dictionaries, lists and values."""
    match node:
        case Scalar(value=value):
            return value
        case Sequence(items=items):
            return [plain(item) for item in items]
        case Mapping(entries=entries):
            return {entry.key: plain(entry.node) for entry in entries}


def from_python(value: object, name: str) -> Node:
    """Return a node of what was made in Python; each place is its name, ``x.examples[0]``."""
    place = Place(name)
    match value:
        case dict():
            return Mapping(tuple(_entry(key, item, name) for key, item in value.items()), place)
        case list() | tuple():
            items = (from_python(item, f"{name}[{number}]") for number, item in enumerate(value))
            return Sequence(tuple(items), place)
        case str() | int() | float():
            return Scalar(value, place)
    return Scalar(None, place)


def _entry(key: str, value: object, name: str) -> Entry:
    node = from_python(value, f"{name}.{key}")
    return Entry(key, node.place, node)


def locate(node: Node, path: Path, *, key_meant: bool = False) -> Place:
    """Return the place of the deepest node on ``path`` that exists.

    A scalar in a mapping is placed where it stands; a nested block, or anything of which the key
    is meant, at its key.
    """
    place = node.place
    for step in path:
        match node, step:
            case Sequence(items=items), int(position) if 0 <= position < len(items):
                node = items[position]
                place = node.place
            case Mapping(entries=entries), str(key):
                entry = next((entry for entry in entries if entry.key == key), None)
                if entry is None:
                    break
                node = entry.node
                at_value = isinstance(node, Scalar) and not key_meant
                place = node.place if at_value else entry.place
            case _:
                break
    return place


def lines(node: Node, path: Path = ()) -> Iterator[tuple[str, int]]:
    """Yield the line of every key and item below ``node``, as ``("expect.gap", 14)``."""
    children: list[tuple[str | int, Place, Node]] = []
    match node:
        case Sequence(items=items):
            children = [(position, item.place, item) for position, item in enumerate(items)]
        case Mapping(entries=entries):
            children = [(entry.key, entry.place, entry.node) for entry in entries]
    for step, place, child in children:
        here = (*path, step)
        if place.line is not None:
            yield ".".join(map(str, here)), place.line
        yield from lines(child, here)
