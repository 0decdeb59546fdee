"""The command line: a thin door to each pipeline, each imported only when it is asked for."""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path

import click

from pm_audit.cli.calibrate import calibrate
from pm_audit.cli.explain import explain
from pm_audit.cli.index import index
from pm_audit.errors import AuditError

_READABLE = click.Path(exists=False, dir_okay=False, path_type=Path)


class _Commands(click.Group):
    """A group whose commands turn an ``AuditError`` into one message and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except AuditError as error:
            from pm_audit.report.sanitise import terminal_lines

            click.echo(terminal_lines(f"error: {error}"), err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pm-audit")
def main() -> None:
    """Audit preference models: hypotheses in, causes and residuals out."""


@main.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Audit: the same as `pytest --pm-audit ARGUMENTS`."""
    # a process of its own: pytest warns of plug-ins that were imported before it
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "--pm-audit", *arguments])  # noqa: S606


@main.command()
@click.argument("record", type=_READABLE, default=Path("reports/record.json"))
@click.option("-v", "--verbose", is_flag=True, help="List every candidate feature.")
def show(record: Path, *, verbose: bool) -> None:
    """Print a record's summary."""
    from pm_audit.records import AuditRecord
    from pm_audit.report import terminal

    click.echo(terminal.summary(AuditRecord.read(record), every_feature=verbose))


@main.command()
@click.argument("record", type=_READABLE, default=Path("reports/record.json"))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="File to write; its suffix chooses .html, .md, .csv or .parquet (default: beside it).",
)
def report(record: Path, *, output: Path | None) -> None:
    """Write a record as a page or a table."""
    from pm_audit.records import AuditRecord
    from pm_audit.report.files import write

    target = output or record.with_suffix(".html")
    write(AuditRecord.read(record), target)
    click.echo(f"wrote {target}")


@main.command()
@click.argument("old", type=_READABLE)
@click.argument("new", type=_READABLE)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write the comparison as a page too: .html or .md.",
)
def compare(old: Path, new: Path, *, output: Path | None) -> None:
    """Compare two records; exit code 1 where NEW is a regression against OLD."""
    from pm_audit.compare import compare as compare_records
    from pm_audit.compare import read_unaltered
    from pm_audit.report import changes
    from pm_audit.report.files import write_comparison

    comparison = compare_records(read_unaltered(old), read_unaltered(new))
    click.echo("\n".join(changes.terminal_lines(comparison)))
    if output is not None:
        write_comparison(comparison, output)
        click.echo(f"wrote {output}")
    sys.exit(1 if comparison.regressed else 0)


@main.command()
@click.argument("record", type=_READABLE, default=Path("reports/record.json"))
def verify(record: Path) -> None:
    """Judge a record again from its own evidence; exit code 1 where anything differs."""
    from pm_audit.records import AuditRecord
    from pm_audit.report.sanitise import terminal_lines
    from pm_audit.verdict import verify as disagreements

    stored = AuditRecord.read(record)
    found = disagreements(stored)
    for line in found:
        click.echo(terminal_lines(line))
    if found:
        click.echo(f"{len(found)} disagreements between the record and its evidence")
        sys.exit(1)
    click.echo(f"every figure of {len(stored.hypotheses)} hypotheses follows from the evidence")


@main.command()
@click.argument("what", type=click.Choice(["hypothesis", "probe", "record"]))
def schema(what: str) -> None:
    """Print a JSON Schema for editors."""
    if what == "record":
        from pm_audit.records import AuditRecord

        click.echo(json.dumps(AuditRecord.model_json_schema(), indent=2))
        return
    from pm_audit.spec.schema import json_schema

    click.echo(json.dumps(json_schema(what), indent=2))


@main.command()
@click.option("--pm", default="default", help="The preference model that will be audited.")
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


main.add_command(calibrate)
main.add_command(explain)
main.add_command(index)


@main.command()
@click.argument("model")
@click.argument("saes", nargs=-1)
@click.option("--text-format", default=None, help="hh, chat, raw or pair.")
@click.option("--text-end", default=None, help="as-written, eos, openrlhf or a special token.")
@click.option("--text-start", default=None, help="bos (default) or as-written.")
@click.option(
    "--text-date",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="Day that a chat template gets for today (default: 2024-07-26).",
)
@click.option("--objective", default=None, help="Of a PM with several: a name, or all.")
def doctor(
    model: str,
    saes: tuple[str, ...],
    *,
    text_format: str | None,
    text_end: str | None,
    text_start: str | None,
    text_date: datetime.datetime | None,
    objective: str | None,
) -> None:
    """Examine a PM and its SAEs before an audit; exit code 1 where a finding fails."""
    from pm_audit.doctor import doctor as examine

    findings = examine(
        model,
        saes,
        text_format=text_format,
        objective=objective,
        text_end=text_end,
        text_start=text_start,
        text_date=None if text_date is None else text_date.date(),
    )
    click.echo(findings.render())
    sys.exit(0 if findings.passed else 1)


class _Recipes(click.Group):
    """A group whose commands are imported when they are named: they bring torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return ["pm", "sae", "measure", "biased"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        from pm_audit.cli.recipes import COMMANDS

        return COMMANDS.get(cmd_name)


@main.group(cls=_Recipes)
def train() -> None:
    """Train a preference model, or SAEs on its residual stream; both resume."""


if __name__ == "__main__":
    main()
