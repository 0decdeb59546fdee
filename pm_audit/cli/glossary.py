"""`pm-audit glossary`: what a figure, a check or an outcome of a report means."""

from __future__ import annotations

import click

from pm_audit.cli import options
from pm_audit.errors import RecordError


@click.command(cls=options.Command, example="pm-audit glossary closure")
@click.argument("name", required=False)
def glossary(name: str | None) -> None:
    """Print what a figure, a check or an outcome means: formula, sign, how to read it.

    Without NAME, list all of them.
    """
    from pm_audit.report import glossary as terms

    if name is None:
        width = max(len(entry.name) for entry in terms.entries())
        click.echo("\n".join(f"{entry.name:<{width}} {entry.short}" for entry in terms.entries()))
        return
    entry = terms.find(name)
    if entry is None:
        raise RecordError(
            f"nothing is called {name!r}; known: "
            + ", ".join(entry.name for entry in terms.entries())
        )
    click.echo(terms.text(entry))
