"""What the commands share: the options of a subject, and an example in the help.

The options of a subject are its settings, named as in pytest without the prefix: ``--pm-audit-pm``
there is ``--pm`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pm_audit.settings_table import SETTINGS

if TYPE_CHECKING:
    from pm_audit.data import PairSet
    from pm_audit.spec import Settings

_COLUMNS = ("prompt", "example", "counter_example", "id")
_TEXT = ("text_format", "text_end", "text_start", "text_date")
_JUDGE = ("judge_template", "judge_verdicts")
SUBJECT = ("pm", "saes", *_TEXT, *_JUDGE, "repair", "objective", "dtype", "device")
OF_TWO = tuple(name for name in SUBJECT if name not in ("pm", "repair"))
_OPTIONS = {setting.name: setting for setting in SETTINGS if setting.name in SUBJECT}


def subject(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that name a PM and its SAEs; without a value each is None or empty."""
    return _naming(command, SUBJECT)


def preference_model(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options of :func:`subject` for a command that reads no SAE."""
    return _naming(command, [name for name in SUBJECT if name != "saes"])


def of_two(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options of a subject that two PMs, which arguments name, have in common."""
    return _naming(command, OF_TWO)


def _naming(command: Callable[..., object], names: Sequence[str]) -> Callable[..., object]:
    for name in reversed(names):
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


def settings_of(subject: Mapping[str, Any]) -> Settings:
    """Return the settings that options of :func:`subject` give, then ``[tool.pm_audit]``.

    Raises:
        InvalidSpec: one of them is unknown or of another kind.

    """
    from pm_audit.pipelines.project import find_root, read_settings

    given = {name: value for name, value in subject.items() if value != ()}
    return read_settings(find_root(), cli=given)


def number(
    flag: str, default: int, text: str, *, least: int = 1
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return an option for a whole number of at least ``least``."""
    kind = click.IntRange(min=least)
    return click.option(flag, default=default, show_default=True, type=kind, help=text)


def columns(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that say how a preference set is read; see :func:`read_data`."""
    command = click.option(
        "--strict", is_flag=True, help="Refuse a file with a row that is no pair."
    )(command)
    command = click.option(
        "--where",
        multiple=True,
        metavar="COLUMN=VALUE",
        help="Keep rows with this value; several values of one column are alternatives.",
    )(command)
    for name in reversed(_COLUMNS):
        words = name.replace("_", "-")
        text = f"Column of the {words}; by default found by its name."
        option = click.option(f"--{words}-column", name, default=None, metavar="NAME", help=text)
        command = option(command)
    return command


def left_out(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which comparisons are left out before a sample is drawn."""
    percent, share = click.FloatRange(0, 100), click.FloatRange(0, 1, max_open=True)
    length = "Percentile of length {} which comparisons are left out."
    for flag, default, kind, text in (
        ("--held-out", 0.2, share, "Share of prompts that take no part in the ranking."),
        ("--longest", 95.0, percent, length.format("above")),
        ("--shortest", 0.0, percent, length.format("below")),
    ):
        option = click.option(flag, type=kind, default=default, show_default=True, help=text)
        command = option(command)
    return command


def read_data(path: Path, given: dict[str, Any]) -> PairSet:
    """Take the options of :func:`columns` out of those that were given, and read the set."""
    from pm_audit.data import Columns, read_pairs

    named = Columns(**{name: given.pop(name) for name in _COLUMNS})
    where: dict[str, list[str]] = {}
    for one in given.pop("where"):
        name, sign, value = one.partition("=")
        if not sign:
            raise click.UsageError(f"--where {one!r} must be COLUMN=VALUE")
        where.setdefault(name, []).append(value)
    return read_pairs(path, named, where=where, strict=given.pop("strict"))


def output(*names: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return an option for a file that is written if it is given."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(*names, type=kind, default=None, help=text)


def require_apart(target: Path, *read: Path | None) -> None:
    """Refuse to write a file over one that the command reads."""
    for path in read:
        if path is not None and path.exists() and target.exists() and target.samefile(path):
            raise click.UsageError(
                f"{target}: is a file that the command reads and would be replaced; name another"
            )


def record_and_page(output: Path | None, default: str, *read: Path | None) -> tuple[Path, Path]:
    """Return where a command writes its record, and the page next to it.

    Raises:
        click.UsageError: the name is no record's, or one of them is a file that is read.
        RecordError: no file can be written there.

    """
    from pm_audit.records import require_writable

    target = output or Path(default)
    if target.suffix != ".json":
        raise click.UsageError(f"{target}: the record's name must end in .json")
    page = target.with_suffix(".html")
    for path in (target, page):
        require_apart(path, *read)
        require_writable(path)
    return target, page


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
