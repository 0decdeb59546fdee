"""The command line: one thin command for each pipeline, which is imported when it is used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pm_audit.cli import options
from pm_audit.cli.diff import diff
from pm_audit.cli.explain import explain
from pm_audit.cli.exploit import exploit
from pm_audit.cli.glossary import glossary
from pm_audit.cli.history import history
from pm_audit.cli.index import index
from pm_audit.cli.keep import keep
from pm_audit.cli.propose import propose
from pm_audit.cli.records import compare, report, show, verify
from pm_audit.cli.repair import repair
from pm_audit.cli.scan import scan, score
from pm_audit.errors import AuditError
from pm_audit.subject.allocator import own_process
from pm_audit.version import __version__


@contextmanager
def _printable() -> Iterator[None]:
    """Escape the messages of click for a terminal: they repeat arguments and file names."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # its message is the help
    except click.ClickException as error:
        from pm_audit.report.sanitise import terminal

        # a type checker holds the message final, and every kind of refusal prints it
        vars(error)["message"] = terminal(error.message)
        raise


_FROM_SOURCE = ("calibrate", "train")
"""Commands of ``recipes/``, a folder next to the package that only a checkout has."""


_INTERRUPTED = 130
"""Exit code of a command that was interrupted, as of shells."""


class _Commands(click.Group):
    """A group whose commands turn an ``AuditError`` into one message and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *(_FROM_SOURCE if _has_recipes() else ())])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _FROM_SOURCE:
            return super().get_command(ctx, cmd_name)
        if not _has_recipes():
            raise click.UsageError(
                f"pm-audit {cmd_name} comes with the source of pm_audit, not with the wheel; "
                "clone the project and run: pip install -e '.[train]'"
            )
        command: click.Command = import_module("recipes.commands").COMMANDS[cmd_name]
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> click.Context:
        with _printable():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with _printable():
                return super().invoke(ctx)
        except AuditError as error:
            from pm_audit.report.sanitise import terminal_lines

            click.echo(terminal_lines(f"error: {error}"), err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            # click would exit with 1, which says that something was found
            click.echo("interrupted", err=True)
            ctx.exit(_INTERRUPTED)


def _has_recipes() -> bool:
    """Whether pm_audit runs from a checkout, which holds the recipes."""
    return (Path(__file__).parents[2] / "recipes" / "commands.py").is_file()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Audit preference models: hypotheses in, causes and residuals out.

    Every command names a PM by --pm and its SAEs by --sae; pytest has --pm-audit-pm and
    --pm-audit-sae.
    """
    own_process()


@main.command(
    cls=options.Command,
    example="pm-audit run --pm path/to/pm --sae path/to/sae hypotheses/urls.yaml",
    # -h alone is left to pytest, which has short options of its own
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": ["--help"],
    },
)
@options.subject
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    arguments: tuple[str, ...],
    **subject: Any,  # noqa: ANN401 - the options of a subject
) -> None:
    """Audit: the same as `pytest --pm-audit ARGUMENTS`.

    ARGUMENTS are hypothesis files and any options of pytest, which -h lists.
    """
    named = options.as_pytest_has_them(subject)
    command = [sys.executable, "-m", "pytest", "--pm-audit", *named, *arguments]
    # a new process: pytest warns of plug-ins that were imported before it
    os.execv(sys.executable, command)  # noqa: S606


@main.command(cls=options.Command, example="pm-audit schema hypothesis > hypothesis.schema.json")
@click.argument("what", type=click.Choice(["hypothesis", "probe", "record"]))
def schema(what: str) -> None:
    """Print a JSON Schema, with which editors complete and check the files."""
    if what == "record":
        from pm_audit.records import AuditRecord

        click.echo(json.dumps(AuditRecord.model_json_schema(), indent=2))
        return
    from pm_audit.spec.schema import json_schema

    click.echo(json.dumps(json_schema(what), indent=2))


@main.command(cls=options.Command, example="pm-audit init --pm path/to/pm")
@click.option(
    "--pm", default="default", show_default=True, help="The preference model that will be audited."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to write (default: here).",
)
def init(pm: str, folder: Path) -> None:
    """Write a first hypothesis, a probe, the settings and a workflow.

    Nothing that exists is overwritten.
    """
    from pm_audit.cli.starter import write_starter

    for line in write_starter(folder, pm=pm):
        click.echo(line)


for _command in (
    *(show, report, compare, verify, history, explain, glossary, index, diff),
    *(score, scan, propose, repair, keep, exploit),
):
    main.add_command(_command)


@main.command(
    cls=options.Command,
    example="pm-audit doctor --pm path/to/pm --sae path/to/sae --text-format chat",
)
@click.argument("places", nargs=-1, metavar="")
@options.subject
def doctor(
    places: tuple[str, ...],
    **subject: Any,  # noqa: ANN401 - the options of a subject
) -> None:
    """Examine a PM and its SAEs before an audit; exit code 1 if a finding fails."""
    # the PM may also stand alone, its SAEs after it
    if subject["pm"] is None and places:
        subject["pm"], places = places[0], places[1:]
    if subject["pm"] == "":
        # an unset variable of a shell would examine the default PM
        raise click.UsageError("the PM's name is empty; name one, or leave --pm out")
    from pm_audit.pipelines.doctor import doctor as examine

    settings = options.settings_of(subject | {"saes": (*places, *subject["saes"])})
    findings = examine(
        settings.pm,
        settings.saes,
        **settings.model_dump(include=set(subject) - {"pm", "saes"}),
    )
    click.echo(findings.render())
    sys.exit(0 if findings.passed else 1)


if __name__ == "__main__":
    main()
