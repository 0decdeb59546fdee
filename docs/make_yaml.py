"""Write ``docs/reference/yaml.md`` from the models that read the files.

python docs/make_yaml.py          # writes the page
python docs/make_yaml.py --check  # fails where the page is stale
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pm_audit.spec.schema import json_schema

PAGE = Path(__file__).with_name("reference") / "yaml.md"

INTRODUCTION = """\
# YAML keys

This page is generated from the models that read the files by `python docs/make_yaml.py`.
`pm-audit schema hypothesis` and `pm-audit schema probe` print the same as JSON Schema, with which
editors complete and check.

The files are data: strings stay strings, unknown and repeated keys are errors, and anchors, merges
and tags are refused. Every mistake is reported at once, with file and line.
"""

HYPOTHESIS = """\
## A hypothesis

`hypotheses/NAME.yaml` holds one hypothesis, or a list of them.
"""

PROBE = """\
## A probe

`probes/NAME.yaml` holds prompts that hypotheses share; its name is the file's.
"""


def page() -> str:
    """Return the whole page."""
    parts = [
        INTRODUCTION,
        HYPOTHESIS,
        yaml_keys("hypothesis", elsewhere="probe") + "\n",
        PROBE,
        yaml_keys("probe") + "\n",
    ]
    return "\n".join(parts)


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
    default = given.get("default")
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default not in (None, {}) else ""


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
    if "enum" in given:
        return ", ".join(f"`{word}`" for word in given["enum"])
    if "properties" in given:
        keys = [f"`{{{key}: phrases}}`" for key in given["properties"]]
        return ", ".join(keys)
    if given.get("type") == "object":
        if isinstance(given.get("additionalProperties"), dict):
            return "column names, each with a value or a list of values"
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


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; return the exit status."""
    if "--check" in arguments:
        stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page()
        if stale:
            print(f"{PAGE} is stale; run `make docs-samples`")
        return int(stale)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
