"""`pm-audit history`: the records of several releases, over time."""

from __future__ import annotations

from pathlib import Path

import click

from pm_audit.cli import options


@click.command(cls=options.Command, example="pm-audit history reports/*.json -o history.html")
@click.argument("records", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@options.output("-o", "--output", text="Write the history as a page too: .html.")
@click.option(
    "--static",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Write a folder to host: the history, and a page for each record.",
)
def history(records: tuple[Path, ...], *, output: Path | None, static: Path | None) -> None:
    """Print gap, residual and outcome of each hypothesis over the releases in RECORDS.

    They stand in the order of their own times.  A file that is no whole, unaltered record is set
    aside with its reason, and figures that cannot be compared are not joined.
    """
    from pm_audit.records import write_atomically
    from pm_audit.release.history import read_history
    from pm_audit.report.html.history import render
    from pm_audit.report.over_time import site, sparklines
    from pm_audit.report.sanitise import terminal_lines

    if output is not None and output.suffix != ".html":
        raise click.UsageError(f"{output}: a history is written as a page; its name ends in .html")
    found = read_history(records)
    click.echo(sparklines.summary(found))
    if output is not None:
        write_atomically(output, render(found))
        click.echo(terminal_lines(f"wrote {output}"))
    if static is not None:
        for line in site.write_site(found, static):
            click.echo(terminal_lines(line))
