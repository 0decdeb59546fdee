"""`pm-audit keep`: an edit that a search found becomes an ordinary hypothesis."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from pm_audit.cli import options


@click.command(cls=options.Command, example="pm-audit keep reports/record.json decoration")
@click.argument("record", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("name")
@options.output("-o", "--output", text="File to write (default: next to the hypothesis' own).")
def keep(record: Path, name: str, *, output: Path | None) -> None:
    """Write the edit that the hypothesis NAME of RECORD was judged by as a hypothesis of its own.

    The file holds the edited completions as examples, so that every later audit tries them.
    """
    from pm_audit.pipelines.generating.keep import keep_edit
    from pm_audit.pipelines.project import find_root, read_settings
    from pm_audit.records import AuditRecord
    from pm_audit.report.sanitise import terminal_lines

    root = find_root()
    settings = read_settings(root)
    found = keep_edit(
        AuditRecord.read(record), name, root=root, probes=settings.probes, output=output
    )
    click.echo(terminal_lines(f"wrote {found}\nnext: pytest --pm-audit {quote(str(found))}"))
