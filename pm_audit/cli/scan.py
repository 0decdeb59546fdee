"""`pm-audit score` and `pm-audit scan`: a preference set without a hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pm_audit.cli import options

if TYPE_CHECKING:
    from pm_audit.scanning.engines import Fleet


def _data(command: Callable[..., object]) -> Callable[..., object]:
    """Add the data, its columns, and where the work is done."""
    for decorate in (
        click.argument("data", type=click.Path(path_type=Path)),
        options.columns,
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where shards run: this machine, or Ray (`pip install 'pm-audit[scale]'`).",
        ),
        options.number("--workers", 1, "Processes that run shards, each with the PM loaded."),
        click.option(
            "--cache",
            type=click.Path(file_okay=False, path_type=Path),
            default=None,
            help="Folder of finished shards (default: `scans` in the cache of pm_audit).",
        ),
    ):
        command = decorate(command)  # type: ignore[arg-type]  # as of a command
    return command


@click.command(
    cls=options.Command, example="pm-audit score preferences.jsonl -o reports/rewards.parquet"
)
@options.preference_model
@_data
@options.output(
    "-o",
    "--output",
    text="Table to write: .jsonl, .csv or .parquet (default: reports/rewards.jsonl).",
)
def score(*, output: Path | None, **given: Any) -> None:  # noqa: ANN401 - shared options
    """Write the rewards of both sides of every pair of DATA, and how often they agree with it.

    DATA is JSONL, JSON, CSV, TSV or Parquet, or a folder of these or of Hugging Face datasets.  A
    run that was killed goes on where it was.
    """
    from pm_audit.records import require_writable
    from pm_audit.report.preferences import accuracy_line, require_table, skipped_line

    target = output or Path("reports/rewards.jsonl")
    require_table(target)
    options.require_apart(target, given["data"])
    require_writable(target)
    data = options.read_data(given.pop("data"), given)
    fleet, cache = _fleet(given, rewards_only=True)
    from pm_audit.pipelines.scan import score as run

    scores = run(data, fleet, cache, _report)
    scores.write(target)
    click.echo(accuracy_line(scores.overall()))
    if skipped := skipped_line(scores.skipped(), data.rows):
        click.echo(skipped)
    click.echo(f"wrote {target}")


@click.command(cls=options.Command, example="pm-audit scan preferences.jsonl --workers 2")
@options.subject
@click.option("--sae-name", default=None, help="Which of several SAEs; by default the first.")
@_data
@click.option(
    "--sampler",
    type=click.Choice(["top-gap", "stratified", "random"]),
    default="top-gap",
    show_default=True,
    help="Which comparisons are attributed: largest difference of rewards, or a draw.",
)
@options.number("--sample", 512, "Comparisons that are attributed.")
@click.option("--by", default=None, metavar="COLUMN", help="Column of a stratified sample.")
@options.left_out
@options.number("--candidates", 96, "Features that are ablated for real.")
@options.number("--ablated", 32, "Comparisons on which each of them is ablated.")
@options.number("--ig-steps", 2, "Steps of integrated gradients.")
@options.number("--seed", 0, "Seed of everything that is drawn.", least=0)
@options.output("-o", "--output", text="Record to write (default: reports/scan.json).")
def scan(*, output: Path | None, **given: Any) -> None:  # noqa: ANN401 - shared options
    """Find the features that move the PM's rewards in DATA, without a hypothesis.

    Rewards of all pairs are read; a sample is attributed to features over what differs between
    the two sides; candidates are ablated where they are active, ranked by effect and grouped.
    Writes the record and a page next to it.
    """
    target, page = options.record_and_page(output, "reports/scan.json", given["data"])
    data = options.read_data(given.pop("data"), given)
    fleet, cache = _fleet(given, sae=given.pop("sae_name"))
    from pm_audit.pipelines.scan import ScanSettings
    from pm_audit.pipelines.scan import scan as run
    from pm_audit.scanning.sampler import Sampler

    settings = ScanSettings(**given | {"sampler": Sampler(given["sampler"])})
    record = run(data, fleet, settings, cache, _report)
    record.write(target)
    record.save(page)
    click.echo(str(record))
    click.echo(f"wrote {target} and {page}")


def _fleet(
    given: dict[str, Any], *, sae: str | None = None, rewards_only: bool = False
) -> tuple[Fleet, Path]:
    """Take the options of the subject and of the work out of those that were given."""
    from pm_audit.loading.named import require_named_subject

    named = {name: given.pop(name) for name in options.SUBJECT if name in given}
    settings = options.settings_of(named)
    engine, workers, cache = given.pop("engine"), given.pop("workers"), given.pop("cache")
    if not rewards_only:  # which need no SAE
        require_named_subject(settings)
    from pm_audit.loading.wheels import cache_folder
    from pm_audit.scanning.engines import EngineName, Fleet
    from pm_audit.scanning.task import Loader

    loader = Loader(settings, sae, rewards_only)
    fleet = Fleet.of(loader, engine=EngineName(engine), workers=workers)
    return fleet, cache or cache_folder() / "scans"


def _report(text: str) -> None:
    click.echo(text, err=True)
