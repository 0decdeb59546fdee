"""What the commands share: the options that name a subject, and an example in the help.

They are the settings of the subject under the names that pytest gives them, less the prefix:
``--pm`` here is ``--pm-audit-pm`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

from pm_audit.settings_table import SETTINGS

_TEXT = ("text_format", "text_end", "text_start", "text_date")
_SUBJECT = ("pm", "saes", *_TEXT, "objective", "dtype", "device")
_OPTIONS = {setting.name: setting for setting in SETTINGS if setting.name in _SUBJECT}


def subject(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that name a PM and its SAEs; each that is not given is None or empty."""
    for name in reversed(_SUBJECT):
        setting = _OPTIONS[name]
        command = click.option(
            f"--{setting.option}",
            name,
            multiple=setting.kind == "list",
            metavar=setting.option.rpartition("-")[2].upper(),
            help=setting.help + (" Repeatable." if setting.kind == "list" else ""),
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


class Command(click.Command):
    """A command whose help ends with one example of its use."""

    def __init__(self, *arguments: object, example: str, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]  # click's own arguments
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example to the letter: a command line must not be wrapped."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"  {line}\n")
