"""Fill the reference pages from the code: a marker such as `<!-- generated: settings -->`."""

from __future__ import annotations

import importlib.util
import re
from functools import partial
from pathlib import Path
from typing import Any

import click

from pm_audit import plugin
from pm_audit.calibrate import tables
from pm_audit.calibrate.result import Calibration
from pm_audit.cli import main
from pm_audit.report import glossary
from pm_audit.spec import Settings
from pm_audit.spec.schema import json_schema

spec = importlib.util.spec_from_file_location("execute", Path(__file__).with_name("execute.py"))
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)

CALIBRATION = Path(__file__).with_name("calibration.json")
MARKER = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put generated parts where a page asks for them (a hook of mkdocs)."""
    return MARKER.sub(lambda found: GENERATED[found.group(1)](), markdown)


def command_line(group: click.Group = main, path: str = "pm-audit") -> str:
    parts = []
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        whole = f"{path} {name}"
        inner = click.Context(command, info_name=whole)
        parts.append(f"## {whole}\n\n```text\n{command.get_help(inner)}\n```")
        if isinstance(command, click.Group):
            parts.append(command_line(command, whole))
    return "\n\n".join(parts)


def settings() -> str:
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{_plain(field.default)}`"
        lines.append(f"| `{name}` | {default} | {_one_line(field.description or '')} |")
    return "\n".join(lines)


def options() -> str:
    lines = ["| option | ini option | meaning |", "| --- | --- | --- |"]
    for name, text in plugin.SETTINGS:
        flag = f"--pm-audit-{name.replace('_', '-')}"
        lines.append(f"| `{flag} VALUE` | `pm_audit_{name}` | {_one_line(text)} |")
    return "\n".join(lines)


def yaml_keys(kind: str, *, elsewhere: str | None = None) -> str:
    """Return a table for each object of a file's schema: key, what it holds, default, meaning.

    Objects that the schema ``elsewhere`` holds too stand under that one alone.
    """
    schema = json_schema(kind)
    definitions = dict(schema.get("$defs", {}))
    whole = definitions.pop("WrittenHypothesis", None) or schema
    shared = json_schema(elsewhere).get("$defs", {}) if elsewhere else {}
    parts = [_keys(whole, definitions)]
    for name, definition in definitions.items():
        if "properties" in definition and name not in shared:
            title = definition.get("title", name)
            about = _one_line(definition.get("description", ""))
            parts.append(f"### {title}\n\n{about}\n\n{_keys(definition, definitions)}")
    return "\n\n".join(parts)


def _keys(owner: dict[str, Any], definitions: dict[str, Any]) -> str:
    required = owner.get("required", [])
    lines = ["| key | holds | default | meaning |", "| --- | --- | --- | --- |"]
    for name, given in owner["properties"].items():
        default = "required" if name in required else _default(given)
        meaning = _one_line(given.get("description", ""))
        lines.append(f"| `{name}` | {_kind(given, definitions)} | {default} | {meaning} |")
    return "\n".join(lines)


def _default(given: dict[str, Any]) -> str:
    return f"`{_plain(given['default'])}`" if given.get("default") not in (None, {}) else ""


def _kind(given: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a value is: text, a number, one of a few words, a list or an object."""
    if "$ref" in given:
        name = given["$ref"].rpartition("/")[2]
        definition = definitions[name]
        if "enum" in definition:
            return " or ".join(f"`{word}`" for word in definition["enum"])
        title = definition.get("title", name)
        return f"[{title}](#{title.lower()})"
    if given.get("type") == "array":
        return f"list: {_kind(given.get('items', {}), definitions)}"
    if given.get("type") == "object":
        return "field names, each with its text"
    if "anyOf" in given:
        return " or ".join(_kind(one, definitions) for one in given["anyOf"])
    if given.get("format") == "date":
        return "a date"
    if {"minimum", "maximum"} <= given.keys():
        return f"a number, {given['minimum']} to {given['maximum']}"
    words = {"string": "text", "number": "a number", "integer": "a whole number"}
    words |= {"boolean": "`true` or `false`"}
    return words.get(given.get("type", ""), "text")


def figures() -> str:
    parts = []
    for entry in glossary.ENTRIES:
        formula = f"\n\n```text\n{entry.formula}\n```" if entry.formula else ""
        parts.append(f"### {entry.name}\n\n{entry.short.capitalize()}.{formula}\n\n{entry.reading}")
    return "\n\n".join(parts)


def calibration() -> str:
    return tables.markdown(Calibration.model_validate_json(CALIBRATION.read_bytes()))


def _plain(value: object) -> str:
    return str(getattr(value, "value", value))


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


GENERATED = {
    "command_line": command_line,
    "settings": settings,
    "options": options,
    "hypothesis_keys": partial(yaml_keys, "hypothesis", elsewhere="probe"),
    "probe_keys": partial(yaml_keys, "probe"),
    "figures": figures,
    "notebook": execute.page,
    "calibration": calibration,
}
