"""Fill the reference pages from the code: a marker such as `<!-- generated: settings -->`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import click

import pm_audit
from pm_audit.cli import main
from pm_audit.report import glossary
from recipes.calibrate import tables
from recipes.calibrate.result import Calibration

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


def figures() -> str:
    parts = []
    for entry in glossary.entries():
        formula = f"\n\n```text\n{entry.formula}\n```" if entry.formula else ""
        parts.append(f"### {entry.name}\n\n{entry.short.capitalize()}.{formula}\n\n{entry.reading}")
    return "\n\n".join(parts)


def calibration() -> str:
    return tables.markdown(Calibration.model_validate_json(CALIBRATION.read_bytes()))


def python() -> str:
    """Return a heading and the documentation of each name of the Python API."""
    parts = []
    for name in pm_audit.__all__:
        module = getattr(pm_audit, name).__module__
        parts.append(f"## {name}\n\n::: {module}.{name}\n    options:\n      heading_level: 3")
    return "\n\n".join(parts)


GENERATED = {
    "python": python,
    "command_line": command_line,
    "figures": figures,
    "notebook": execute.page,
    "calibration": calibration,
}
