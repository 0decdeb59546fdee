"""`pm-audit repair`: what verified features do to preference accuracy, and the repair as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pm_audit.cli import options

_FOUND = click.Path(path_type=Path)
_LEVELS = ("contrast", "mean", "zero")


@click.command(
    cls=options.Command,
    example="pm-audit repair reports/record.json --data preferences.jsonl --by source -o repair.md",
)
@click.argument("record", type=click.Path(dir_okay=False, path_type=Path))
@options.subject
@click.option("--data", type=_FOUND, required=True, help="Preferences on which repairs are judged.")
@click.option(
    "--choose",
    type=_FOUND,
    default=None,
    help="Other preferences to choose by (default: those of half of the prompts of --data).",
)
@click.option("--by", default=None, help="Column of --data that names subsets.")
@click.option("--target", "targets", multiple=True, help="Subset to choose a repair for.")
@click.option("--hypothesis", "hypotheses", multiple=True, help="Whose verified set to try.")
@click.option("--level", "levels", multiple=True, type=click.Choice(_LEVELS), help="Where to put.")
@options.number("--singles", 4, "Features of each set to try alone too, strongest first.", least=0)
@click.option("--directions", is_flag=True, help="Try each set's directions, in the weights, too.")
@click.option("--contrast", "contrasts", multiple=True, help="Column of numbers to compare leans.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest text that is read.")
@options.number("--sample", 0, "Pairs to draw of each file; 0 for all.", least=0)
@options.number("--seed", 0, "Seed of the halves, the sample and the intervals.", least=0)
@options.output("-o", "--output", text="File to write; its suffix chooses .json, .md or .html.")
@click.option(
    "--export", type=click.Path(file_okay=False, path_type=Path), help="Folder for the repair."
)
@click.option("--pick", default=None, help="Repair to export, as the table names it.")
@click.option("--base", default=None, help="Base that an exported adapter names.")
def repair(record: Path, **given: Any) -> None:  # noqa: ANN401 - options of click
    """Judge what repairing the PM by RECORD's verified features does to preference accuracy.

    The features of every hypothesis whose `explained` check passed are put at a level at all
    tokens of all completions.  The repair that gains most on some prompts is judged on others.
    Exit code 1 if no verified set helps.
    """
    from pm_audit.pipelines.repairing.options import RepairOptions
    from pm_audit.pipelines.repairing.request import run_repair
    from pm_audit.records import require_writable
    from pm_audit.records.repair import RepairRecord
    from pm_audit.report.preferences.kinds import suffixes

    output = given.pop("output")
    if output is not None:
        known = suffixes(RepairRecord)
        if output.suffix not in known:
            raise click.UsageError(f"{output}: its name must end in {', '.join(known)}")
        options.require_apart(output, record, given["data"], given["choose"])
        require_writable(output)
    given = {name: value for name, value in given.items() if value not in (None, ())}
    tried = {name: given.pop(name) for name in RepairOptions.model_fields if name in given}
    given["sae"] = given.pop("saes", None)
    wanted = RepairOptions.of(**tried)
    found, lines = run_repair(record, given.pop("data"), wanted, progress=_to_stderr, **given)
    click.echo(str(found))
    if output is not None:
        found.save(output)
        click.echo(f"wrote {output}")
    for line in lines:
        click.echo(line)
    sys.exit(0 if found.best else 1)


def _to_stderr(text: str) -> None:
    click.echo(text, err=True)
