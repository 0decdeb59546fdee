"""`pm-audit calibrate` and `pm-audit train`, which come with the source alone.

Torch is imported when a command runs and not when it is listed.
"""

from __future__ import annotations

from pathlib import Path

import click

from pm_audit.cli import options


@click.command(
    cls=options.Command,
    example="pm-audit calibrate --models 2 --trained 0 --json calibration.json",
)
@options.number("--models", 4, "Constructed models.", least=0)
@options.number("--simulations", 1_000, "Audits of evidence drawn from known populations.", least=0)
@options.number(
    "--trained",
    100,
    "Audits of the biased PM by each of its 24 hypotheses; 0 leaves it out.",
    least=0,
)
@options.number(
    "--explain", 0, "Full audits of the biased PM by each hypothesis, features and all.", least=0
)
@options.number("--seed", 0, "Seed of everything that is drawn.", least=0)
@options.output("--json", "json_path", text="Write every single audit as JSON.")
@options.output("--plot", "plot_path", text="Draw detection by size as SVG.")
def calibrate(
    models: int,
    simulations: int,
    trained: int,
    explain: int,
    seed: int,
    *,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Audit PMs with planted biases, and simulated evidence; print how often the auditor is right.

    Each constructed model is audited once for each of its marks, half of which are negative
    controls, searched for planted sets, and audited with exchanged labels; the sets of some audits
    are tested on 500 fresh prompts.  The biased PM is the default PM with twelve planted biases,
    audited by those and by twelve negative controls.
    """
    from pm_audit.records import write_atomically
    from recipes.calibrate import Extent
    from recipes.calibrate import calibrate as run
    from recipes.calibrate.plot import draw
    from recipes.calibrate.tables import render

    extent = Extent(
        models=models, simulations=simulations, trained=trained, explain=explain, seed=seed
    )
    result = run(extent, report=lambda message: click.echo(message, err=True))
    click.echo(render(result))
    if json_path is not None:
        write_atomically(json_path, result.model_dump_json() + "\n")
        click.echo(f"wrote {json_path}")
    if plot_path is not None:
        write_atomically(plot_path, draw(result))
        click.echo(f"wrote {plot_path}")


class _Recipes(click.Group):
    """A group whose commands are imported when they are named: they bring torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return ["pm", "sae", "judge-sae", "measure", "biased"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        from recipes.train.commands import COMMANDS

        return COMMANDS.get(cmd_name)


@click.group(cls=_Recipes)
def train() -> None:
    """Train a preference model, or SAEs on its residual stream; both resume."""


COMMANDS: dict[str, click.Command] = {"calibrate": calibrate, "train": train}
