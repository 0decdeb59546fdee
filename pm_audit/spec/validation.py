"""Turn nodes into typed models: every fault at once, each with its place and its remedy."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.spec.nodes import Node, Path

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], node: Node) -> Model:
    """Return ``node`` as a ``model``.

    Raises:
        InvalidSpec: the node does not fit; holds every fault.

    """
    try:
        return model.model_validate(node.value)
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
        stand_ins: values for required keys that the node has no valid value for.

    """
    written = node.value
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


_A_NUMBER = "`{key}` must be a number, not {found}"
_BOUNDED = "`{key}` must be {bound}, not {found}"
_MESSAGES = {
    "missing": "key `{key}` is missing; add `{last}:`",
    "string_type": "`{key}` must be text, not {found}; put it in quotes",
    "string_too_short": "`{key}` is empty; write some text",
    "too_short": "`{key}` is an empty list; write at least one item, or leave the key out",
    "tuple_type": "`{key}` must be a list of items, not {found}",
    "dict_type": "{this} must be a mapping of keys and values, not {found}",
    "model_type": "{this} must be a mapping of keys and values, not {found}",
    "enum": "`{key}` must be {expected}, not {found}",
    "field name": "{found} cannot be a field: letters, digits and _ only, no digit first",
    "string_pattern_mismatch": "`{key}` is {found}, but a name has 1 to 80 "
    "letters, digits, dots, dashes and underscores",
    **dict.fromkeys(("float_type", "int_type", "float_parsing", "int_parsing"), _A_NUMBER),
    "int_from_float": _A_NUMBER,
    **dict.fromkeys(("bool_type", "bool_parsing"), "`{key}` must be true or false, not {found}"),
    **dict.fromkeys(
        ("greater_than", "greater_than_equal", "less_than", "less_than_equal"), _BOUNDED
    ),
}
"""What is wrong and what to write instead, by pydantic's kind of error."""


def describe(model: type[BaseModel], detail: ErrorDetails) -> str:
    """Return in one sentence what is wrong and what to write instead."""
    kind, path, found = detail["type"], detail["loc"], _named(detail["input"])
    context: Mapping[str, Any] = detail.get("ctx", {})
    key = _dotted(path)
    if kind == "extra_forbidden":
        return _unknown_key(model, path)
    if kind == "value_error":
        return f"{context['error']}" + (f" (`{key}`)" if key else "")
    if kind == "string_pattern_mismatch" and path and path[-1] == "[key]":
        kind = "field name"
    return _MESSAGES.get(kind, "`{key}`: {message}, found {found}").format(
        key=key,
        last=path[-1] if path else "",
        this=f"`{key}`" if path else "this",
        found=found,
        expected=context.get("expected"),
        bound=detail["msg"].removeprefix("Input should be "),
        message=detail["msg"],
    )


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
    """Whether this follows from another fault that is reported.

    A list with no valid item counts as empty, and a misspelled key as missing.
    """
    if detail["type"] != "missing":
        return detail["type"] == "too_short" and len(detail["input"]) > 0
    *parents, key = detail["loc"]
    unknown = [
        str(other["loc"][-1])
        for other in details
        if other["type"] == "extra_forbidden" and other["loc"][:-1] == tuple(parents)
    ]
    return bool(difflib.get_close_matches(str(key), unknown))


def _place(node: Node, detail: ErrorDetails) -> Place:
    key_meant = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
    return node.locate(detail["loc"], key_meant=key_meant)


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
    """Return a path as ``expect.gap`` or ``examples[0]``; positions count from 0."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step != "[key]":
            text += f".{step}" if text else step
    return text


_KINDS = {list: "a list", tuple: "a list", dict: "a mapping", type(None): "empty"}


def _named(value: object) -> str:
    """Return the kind of a value, or its text: shortened, without raw control characters."""
    match value:
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}" if len(f"{value}") <= 30 else "a long number"
        case str():
            return ascii(value if len(value) <= 60 else value[:57] + "...")
    return _KINDS.get(type(value), type(value).__name__)
