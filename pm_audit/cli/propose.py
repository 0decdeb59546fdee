"""`pm-audit propose`: draft hypotheses from a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pm_audit.cli import options


@click.command(
    cls=options.Command, example="pm-audit propose reports/scan.json --data preferences.jsonl"
)
@click.argument("scan", type=click.Path(path_type=Path))
@options.subject
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="The preference set that was scanned (default: the file that SCAN names).",
)
@options.columns
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("hypotheses", "drafts"),
    show_default=True,
    help="Where drafts are written, inside the project.",
)
@options.number("--groups", 40, "Groups that are tried, the strongest first.")
@options.number("--drafts", 20, "Drafts at most.")
@options.number("--prompts", 16, "Prompts of a draft at most.")
@options.number("--seed", 0, "Seed of everything that is drawn.", least=0)
@click.option("--all", "every", is_flag=True, help="Write drafts whose gap does not hold, too.")
@click.option(
    "--name-command",
    default=None,
    metavar="COMMAND",
    help="Your program that gives drafts other names and claims: lines of JSON in and out.",
)
def propose(
    scan: Path,
    *,
    data: Path | None,
    folder: Path,
    every: bool,
    name_command: str | None,
    **given: Any,  # noqa: ANN401 - shared options
) -> None:
    """Draft hypothesis files for the strongest groups of SCAN, the record of a scan.

    For each group the smallest edit of the data's own texts is searched for that switches it off
    or on.  Edits are chosen on prompts that the scan ranked; the pairs of a draft, and its gap,
    come from prompts that took no part.  Drafts whose gap holds there are written; no file is
    overwritten.
    """
    from pm_audit.records.scan import ScanRecord
    from pm_audit.report.sanitise import terminal
    from pm_audit.report.terminal_writer import TerminalWriter

    record = ScanRecord.read(scan)
    pairs = options.read_data(data or Path(record.data.file), given)
    from pm_audit.drafts.written import table, write_drafts
    from pm_audit.loading.subject import load_subject
    from pm_audit.pipelines import name_command as command
    from pm_audit.pipelines import propose as pipeline
    from pm_audit.pipelines.project import find_root
    from pm_audit.scanning.task import chosen_sae

    own = {name: given.pop(name) for name in ("groups", "drafts", "prompts", "seed")}
    settings = pipeline.ProposeSettings(**own)
    root = find_root([folder])
    if name_command is not None:
        command.require_command(name_command, root)
    pm, saes = load_subject(options.settings_of(given))
    sae = chosen_sae(tuple(saes), record.subject.saes[0].name)
    found = pipeline.propose(
        record, pairs, pm, sae, settings, lambda text: click.echo(terminal(text), err=True)
    )
    if name_command is not None:
        found = command.renamed(found, name_command, root=root)
    page = TerminalWriter()
    page.table(["draft", "group", "prompts", "gap in sigma", "holds"], table(found))
    click.echo(page.text())
    kept = [draft for draft in found.drafts if every or draft.holds]
    for refused in found.refused:
        click.echo(terminal(f"group {refused.place}: {refused.reason}"), err=True)
    for path in write_drafts(kept, folder, root=root, scan=str(scan)):
        click.echo(f"wrote {terminal(str(path))}")
    if not kept:
        click.echo("no draft holds on prompts that took no part; --all writes them")
