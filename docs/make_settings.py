"""Write what is generated from ``Settings``: the page and the table of options.

python docs/make_settings.py          # writes both
python docs/make_settings.py --check  # fails where one of them is stale
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from pm_audit.settings_table import Setting
from pm_audit.spec import Settings

ROOT = Path(__file__).parents[1]

PAGE = """\
# pytest options and settings

This page is generated from `Settings` by `python docs/make_settings.py`.

`pytest --pm-audit` audits the paths named, or else the hypotheses folder, and collects nothing
else. Without `--pm-audit` the plug-in gives the fixtures `pm`, `reward` and `reward_gap`
([Test properties in Python](../how-to/property-tests.md)), and imports nothing heavy until a test
uses one.

## Settings

Every setting is a key of `[tool.pm_audit]` in `pyproject.toml`, an option of `pytest --pm-audit`
and an ini option of pytest. The command line wins over `pyproject.toml`, and that over ini options.
The settings of the subject, `pm` to `device`, are options of `pm-audit run`, `explain`, `doctor`,
`index`, `score`, `scan`, `propose` and `exploit` too, without `pm-audit-`: `--pm`, `--sae`,
`--text-format`. What is not given there comes from `[tool.pm_audit]`; ini options count in pytest
alone. `repair` takes them from its record, and `diff` reads none from `pyproject.toml`.

| key | option of pytest | ini option | default | meaning |
| --- | --- | --- | --- | --- |
{rows}

## Options of one run

| option | meaning |
| --- | --- |
| `--pm-audit` | audit hypotheses and nothing else |
| `--pm-audit-inconclusive fail` or `pass` | what an inconclusive check does to the run |
| `--pm-audit-update-baseline` | write this run, if complete, to the `--pm-audit-baseline` file |
| `--pm-audit-comment FILE` | write a pull request's comment in Markdown: what got worse or better |
| `--pm-audit-allow-partial` | let a run that judged only part of its manifest exit 0 |

## Hooks

A plug-in or `conftest.py` may implement:

* `pytest_pm_audit_auditor(config, settings, progress)`: return an object with
  `audit(hypothesis)`, `subject`, `method` and `environment` to audit in another way;
* `pytest_pm_audit_record(config, record)`: receive the finished record.
"""

TABLE = '''\
"""Every setting as an option, generated from ``Settings`` by ``python docs/make_settings.py``.

Every pytest run of every project that has pm_audit installed reads this module, so it imports no
pydantic.
"""
# ruff: noqa: E501 - a row a line

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """A field of ``Settings``, ``text``, ``flag`` or ``list``, with the help of its option."""

    name: str
    kind: str
    help: str

    @property
    def option(self) -> str:
        """Return the option without the dashes before it: ``text-format``, ``sae``."""
        return "sae" if self.kind == "list" else self.name.replace("_", "-")


SETTINGS = tuple(
    Setting(*row.split(maxsplit=2))
    for row in """
{rows}
""".strip().splitlines()
)
'''


def page() -> str:
    """Return the reference page."""
    return PAGE.format(rows="\n".join(_row(*item) for item in Settings.model_fields.items()))


def table() -> str:
    """Return the module that holds the table of options."""
    return TABLE.format(rows="\n".join(_entry(*item) for item in Settings.model_fields.items()))


def _row(name: str, field: FieldInfo) -> str:
    kind, default = _kind(field), _default(field)
    option = Setting(name, kind, "").option
    takes = {
        "text": f"`--pm-audit-{option} VALUE`",
        "list": f"`--pm-audit-{option} VALUE`, repeatable",
    }
    takes["flag"] = f"`--pm-audit-{option}`, `--no-pm-audit-{option}`"
    cells = (f"`{name}`", takes[kind], f"`pm_audit_{name}`", default and f"`{default}`")
    return f"| {' | '.join(cells)} | {_text(field)} |"


def _entry(name: str, field: FieldInfo) -> str:
    default, text = _default(field), _text(field)
    if _kind(field) == "list":
        text += " Repeat the option for each; an ini file has one a line."
    given = "" if default in text or _kind(field) == "flag" else f" (default: {default})"
    return f"{name} {_kind(field)} {text}{given}"


def _kind(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "flag"
    return "list" if isinstance(field.default, tuple) else "text"


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value in (None, ()) else str(getattr(value, "value", value))


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


FILES = {
    ROOT / "docs" / "reference" / "settings.md": page,
    ROOT / "pm_audit" / "settings_table.py": table,
}


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` compare them; return the exit status."""
    stale = 0
    for path, text in FILES.items():
        if "--check" not in arguments:
            path.write_text(text(), encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text():
            print(f"{path} is stale; run `make docs-samples`")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
