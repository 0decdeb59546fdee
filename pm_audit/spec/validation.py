"""From nodes to typed models: every fault at once, each with its place and its remedy."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.spec.nodes import Node, Path, locate, plain

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], node: Node) -> Model:
    """Return ``node`` as a ``model``.

    Raises:
        InvalidSpec: the node does not fit; holds every fault.

    """
    try:
        return model.model_validate(plain(node))
    except ValidationError as error:
        raise InvalidSpec(faults_of(model, error, partial(_place, node))) from None


def faults_of(
    model: type[BaseModel], error: ValidationError, place: Callable[[ErrorDetails], Place]
) -> Iterator[Problem]:
    """Yield each fault of ``error`` at the place that ``place`` gives it."""
    details = error.errors(include_url=False, include_context=True)
    for detail in details:
        if not _echoes(detail, details):
            yield Problem(place(detail), describe(model, detail))


def without_faults(
    model: type[Model], node: Node, *, stand_ins: Mapping[str, object]
) -> Model | None:
    """Return ``node`` without the keys that do not fit, so that the others can be examined.

    Args:
        model: what the node is.
        node: as it is written.
        stand_ins: values for keys that the model requires, taken where the node has none that fits.

    """
    written = plain(node)
    if not isinstance(written, dict):
        return None
    try:
        return model.model_validate(written)
    except ValidationError as error:
        faulty = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    fitting = {key: value for key, value in written.items() if key not in faulty}
    try:
        return model.model_validate({**stand_ins, **fitting})
    except ValidationError:
        return None


def describe(model: type[BaseModel], detail: ErrorDetails) -> str:
    """Say in one sentence what is wrong and what to write instead."""
    kind, path, found = detail["type"], detail["loc"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    key = _dotted(path)
    match kind:
        case "missing":
            return f"key `{key}` is missing; add `{path[-1]}:`"
        case "extra_forbidden":
            return _unknown_key(model, path)
        case "string_type":
            return f"`{key}` must be text, not {_named(found)}; put it in quotes"
        case "string_too_short":
            return f"`{key}` is empty; write some text"
        case "too_short":
            return f"`{key}` is an empty list; write at least one item, or leave the key out"
        case "tuple_type":
            return f"`{key}` must be a list of items, not {_named(found)}"
        case "dict_type" | "model_type":
            where = f"`{key}`" if path else "this"
            return f"{where} must be a mapping of keys and values, not {_named(found)}"
        case "enum":
            return f"`{key}` must be {context['expected']}, not {_named(found)}"
        case "float_type" | "int_type" | "float_parsing" | "int_parsing" | "int_from_float":
            return f"`{key}` must be a number, not {_named(found)}"
        case "string_pattern_mismatch" if path and path[-1] == "[key]":
            return f"{_named(found)} cannot be a field: letters, digits and _ only, no digit first"
        case "string_pattern_mismatch":
            return (
                f"`{key}` is {_named(found)}, but a name has 1 to 80 "
                "letters, digits, dots, dashes and underscores"
            )
        case "value_error":
            return f"{context['error']}" + (f" (`{key}`)" if key else "")
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            bound = detail["msg"].removeprefix("Input should be ")
            return f"`{key}` must be {bound}, not {_named(found)}"
        case _:
            return f"`{key}`: {detail['msg']}, found {_named(found)}"


def near(word: str, known: Iterable[str]) -> str:
    """Return the known names, those like ``word`` first, as the end of a message."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3)
    if close:
        return f"did you mean {' or '.join(f'`{name}`' for name in close)}?"
    shown = ", ".join(f"`{name}`" for name in names[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"known here: {shown}{more}" if names else "none is known here"


def _echoes(detail: ErrorDetails, details: Iterable[ErrorDetails]) -> bool:
    """Say whether this follows from another fault that is reported.

    A list is called empty where all of its items are wrong; a key is called missing where it is
    there with a typing error.
    """
    if detail["type"] != "missing":
        return detail["type"] == "too_short" and bool(detail["input"])
    *parents, key = detail["loc"]
    unknown = [
        str(other["loc"][-1])
        for other in details
        if other["type"] == "extra_forbidden" and other["loc"][:-1] == tuple(parents)
    ]
    return bool(difflib.get_close_matches(str(key), unknown))


def _place(node: Node, detail: ErrorDetails) -> Place:
    key_meant = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
    return locate(node, detail["loc"], key_meant=key_meant)


def _unknown_key(model: type[BaseModel], path: Path) -> str:
    *parents, key = path
    owner = _model_at(model, tuple(parents))
    known = owner.model_fields if owner else ()
    return f"unknown key {_named(key)}; {near(str(key), known)}"


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that stands at ``path``: positions in lists do not change it."""
    for step in path:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step)
        inner = next(_models_in(field.annotation), None) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def _dotted(path: Path) -> str:
    """Write a path as people do: ``examples[0]``, counting from 0 as the record does."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step != "[key]":
            text += f".{step}" if text else step
    return text


def _named(value: object) -> str:
    """Name a value by its kind, shortened and without raw control characters."""
    match value:
        case None:
            return "empty"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}" if len(f"{value}") <= 30 else "a long number"
        case str():
            return ascii(value if len(value) <= 60 else value[:57] + "...")
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return type(value).__name__
