"""What the commands share: the options of a subject, and an example in the help.

The options of a subject are its settings, named as in pytest without the prefix: ``--pm-audit-pm``
there is ``--pm`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from pm_audit.settings_table import SETTINGS

_TEXT = ("text_format", "text_end", "text_start", "text_date")
SUBJECT = ("pm", "saes", *_TEXT, "repair", "objective", "dtype", "device")
_OPTIONS = {setting.name: setting for setting in SETTINGS if setting.name in SUBJECT}


def subject(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that name a PM and its SAEs; without a value each is None or empty."""
    for name in reversed(SUBJECT):
        setting = _OPTIONS[name]
        command = click.option(
            f"--{setting.option}",
            name,
            multiple=setting.kind == "list",
            metavar=setting.option.rpartition("-")[2].upper(),
            help=setting.help,
        )(command)
    return command


def as_pytest_has_them(given: Mapping[str, str | tuple[str, ...] | None]) -> list[str]:
    """Return options of :func:`subject` that were given as pytest has them."""
    return [
        f"--pm-audit-{_OPTIONS[name].option}={value}"
        for name, values in given.items()
        for value in (values if isinstance(values, tuple) else (values,))
        if value is not None
    ]


def number(
    flag: str, default: int, text: str, *, least: int = 1
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return an option for a whole number of at least ``least``."""
    kind = click.IntRange(min=least)
    return click.option(flag, default=default, show_default=True, type=kind, help=text)


def output(*names: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return an option for a file that is written if it is given."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(*names, type=kind, default=None, help=text)


class Command(click.Command):
    """A command whose help ends with one example of its use."""

    def __init__(self, *arguments: object, example: str, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]  # click's own arguments
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it is; click would wrap it."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"  {line}\n")
