"""`pm-audit calibrate`: the auditor where the truth is known."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--models", default=4, show_default=True, type=click.IntRange(min=0))
@click.option("--simulations", default=1_000, show_default=True, type=click.IntRange(min=0))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write every single audit as JSON too.",
)
def calibrate(models: int, simulations: int, seed: int, *, json_path: Path | None) -> None:
    """Audit planted models and simulated evidence; print how often the auditor is right.

    Each planted model is audited once for each of its marks, half of which are shams.
    """
    from pm_audit.calibrate import calibrate as run
    from pm_audit.records import write_atomically

    result = run(models=models, simulations=simulations, seed=seed)
    click.echo(result.render())
    if json_path is not None:
        write_atomically(json_path, result.model_dump_json(indent=1) + "\n")
        click.echo(f"wrote {json_path}")
