"""`pm-audit diff`: what changed from one PM to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pm_audit.cli import options


@click.command(
    cls=options.Command, example="pm-audit diff default path/to/new --data preferences.jsonl"
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="The preference set they read."
)
@options.of_two
@click.option("--sae-name", default=None, help="Which of several SAEs; by default the first.")
@options.columns
@options.number("--workers", 1, "Processes that run shards, each with a PM loaded.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Folder of finished shards (default: `scans` in the cache of pm_audit).",
)
@options.number("--sample", 256, "Comparisons that are attributed, of the largest changes.")
@options.left_out
@options.number("--candidates", 64, "Features that are ablated for real, in both PMs.")
@options.number("--ablated", 32, "Comparisons on which each of them is ablated.")
@options.number("--seed", 0, "Seed of everything that is drawn.", least=0)
@options.output("-o", "--output", text="Record to write (default: reports/diff.json).")
def diff(old: str, new: str, *, output: Path | None, **given: Any) -> None:  # noqa: ANN401
    """Name the features through which NEW rewards texts otherwise than OLD.

    Two PMs of one body, such as a base and what was trained from it, read the pairs of DATA.
    Features are attributed and ablated in both, and ranked by how much more they raise the
    reward in NEW.  Writes the record and a page next to it.
    """
    target, page = options.record_and_page(output, "reports/diff.json", given["data"])
    common = options.settings_of({name: given.pop(name) for name in options.OF_TWO})
    data = options.read_data(given.pop("data"), given)
    sae, workers, cache = given.pop("sae_name"), given.pop("workers"), given.pop("cache")
    from pm_audit.loading.wheels import cache_folder
    from pm_audit.pipelines.diff import diff as run
    from pm_audit.pipelines.diff import fleets_of
    from pm_audit.pipelines.scan import ScanSettings

    before, after = fleets_of(old, new, common, sae=sae, workers=workers)
    settings = ScanSettings(**given)
    record = run(data, before, after, settings, cache or cache_folder() / "scans", _report)
    record.write(target)
    record.save(page)
    click.echo(str(record))
    click.echo(f"wrote {target} and {page}")


def _report(text: str) -> None:
    click.echo(text, err=True)
