"""`pm-audit train`: the recipes of the default PM, for your own data.

Importing this module imports torch, so the command line does it only for these commands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

import click
from click.core import ParameterSource

from pm_audit.cli import options
from pm_audit.loading.default.pm import load_adapted, read_recipe
from pm_audit.loading.device import require_device
from pm_audit.loading.judges.names import PREFIX, own_folder
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.subject.activation import TopK
from recipes.biased import pm as biased
from recipes.biased.biases import PLANTED
from recipes.biased.train import BiasRecipe, train_biased
from recipes.judges.saes import JudgeSaeRecipe, train_judge_sae
from recipes.train.activations import Corpus
from recipes.train.measure import measure
from recipes.train.pm import PmRecipe, train_pm
from recipes.train.reward_sae import RewardTuning
from recipes.train.sae_files import WEIGHTS
from recipes.train.saes import Architecture, SaeRecipe, train_saes

_READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)

_trained_pm = click.option(
    "--pm",
    type=_FOLDER,
    required=True,
    metavar="PM",
    help="The preference model: a folder that `pm-audit train pm` wrote.",
)
_device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")


_MAY_BE_NOTHING = frozenset(
    {"seed", "steps", "warmup", "first_trained", "negative_controls", "least_blocks", "step_plain"}
    | {"layer"}
)
"""Whole numbers that may be 0; of all others a recipe needs one."""


class _Finite(click.FloatRange):
    """A finite number of at least 0; click's own range lets NaN and infinity pass."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the number that an option was given."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Loss(StrEnum):
    """What an SAE is trained for."""

    RECONSTRUCTION = "reconstruction"
    REWARD = "reward"


def _recipe_options(recipe: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each setting of a recipe that is a single value."""
    kinds = get_type_hints(recipe)

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for field in reversed(fields(recipe)):
            kind, flag = kinds[field.name], f"--{field.name.replace('_', '-')}"
            if kind in (int, float):
                least = 0 if field.name in _MAY_BE_NOTHING else 1
                bounded = click.IntRange(min=least) if kind is int else _Finite(min=0)
                option = click.option(flag, default=field.default, type=bounded, show_default=True)
            elif isinstance(field.default, StrEnum):
                option = click.option(
                    flag,
                    default=field.default.value,
                    type=click.Choice([mode.value for mode in kind]),
                    callback=_as_mode(kind),
                    show_default=True,
                )
            else:
                continue
            command = option(command)
        return command

    return add


def _as_mode(kind: type[StrEnum]) -> Callable[[click.Context, click.Parameter, str], StrEnum]:
    return lambda _context, _parameter, value: kind(value)


@click.command(
    "pm", cls=options.Command, example="pm-audit train pm preferences.jsonl.gz path/to/pm"
)
@click.argument("data", type=_READABLE)
@click.argument("folder", type=_FOLDER)
@_device
@_recipe_options(PmRecipe)
def pm_command(data: Path, folder: Path, *, device: str, **recipe: Any) -> None:  # noqa: ANN401
    """Train a PM on the pairs in DATA (JSONL, may be gzipped) and write it to FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    train_pm(data, folder, PmRecipe(**recipe), device=device, report=click.echo)
    click.echo(f"wrote {folder}; audit it with: pytest --pm-audit --pm-audit-pm {folder}")


@click.command(
    "sae",
    cls=options.Command,
    example="pm-audit train sae --pm path/to/pm --layer 6 preferences.jsonl.gz text.jsonl",
)
@click.argument("preferences", type=_READABLE)
@click.argument("text", type=_READABLE)
@_trained_pm
@click.option(
    "--layer",
    "layers",
    type=click.IntRange(min=0),
    multiple=True,
    help="Block to read after; repeatable.",
)
@click.option(
    "--loss",
    type=click.Choice([loss.value for loss in Loss]),
    default=Loss.RECONSTRUCTION.value,
    show_default=True,
    callback=_as_mode(Loss),
    help="reward: tuned, after reconstruction, by what the SAE's error does to the reward.",
)
@click.option(
    "--start",
    type=_FOLDER,
    metavar="SAE",
    help="With --loss reward, a finished SAE to tune in place of a new one.",
)
@_device
@_recipe_options(SaeRecipe)
@_recipe_options(RewardTuning)
def sae_command(
    preferences: Path,
    text: Path,
    *,
    pm: Path,
    layers: tuple[int, ...],
    loss: Loss,
    start: Path | None,
    device: str,
    **recipe: Any,  # noqa: ANN401
) -> None:
    """Train SAEs on the PM's residual stream over PREFERENCES and plain TEXT (both JSONL)."""
    require_device(device)
    settings = {field.name: recipe.pop(field.name) for field in fields(RewardTuning)}
    tuning = RewardTuning(**settings) if loss is Loss.REWARD else None
    if tuning is None:
        _refuse(_given("start", *settings), "needs --loss reward")
    elif start is None and recipe["architecture"] is not Architecture.TOPK:
        raise click.UsageError("--loss reward trains TopK SAEs; choose --architecture topk")
    if start is not None:
        fitting = set(recipe) - {"seed"}
        _refuse(_given("layers", *fitting), "is that of the SAE that --start names; leave it out")
        layers = (_layer_to_tune(start),)
    if layers:
        recipe["layers"] = layers
    chosen = SaeRecipe(**recipe)
    backbone, _, tokenizer = load_adapted(pm)
    corpus = Corpus(preferences=preferences, text=text, suffix=read_recipe(pm)["suffix"])
    train_saes(
        backbone.to(device),
        tokenizer,
        corpus,
        pm,
        chosen,
        tuning=tuning,
        start=start,
        report=click.echo,
    )


def _given(*names: str) -> list[str]:
    """Return the options of the running command that were given, as they are written."""
    context = click.get_current_context()
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
    ]


def _refuse(given: list[str], why: str) -> None:
    """Refuse options that would be ignored."""
    if given:
        raise click.UsageError("; ".join(f"{option} {why}" for option in given))


def _layer_to_tune(start: Path) -> int:
    """Return the layer of a finished SAE, if it can be tuned."""
    sae = load_sae(start)
    if not isinstance(sae.activation, TopK) or not (start / WEIGHTS).is_file():
        raise click.UsageError(
            f"--start {start} is of another kind; only TopK SAEs in sae-lens's format are tuned"
        )
    return sae.layer


@click.command(
    "measure",
    cls=options.Command,
    example="pm-audit train measure --pm path/to/pm preferences.jsonl.gz",
)
@click.argument("preferences", type=_READABLE)
@_trained_pm
@options.number("--pairs", 400, "Most held-out pairs a source.")
@options.number("--texts", 512, "Held-out texts for each SAE.")
def measure_command(preferences: Path, *, pm: Path, pairs: int, texts: int) -> None:
    """Measure the PM and its SAEs on held-out PREFERENCES; write card.json into its folder."""
    card = measure(pm, preferences, pairs=pairs, texts=texts, report=click.echo)
    for row in card.accuracy:
        click.echo(
            f"{row.source}: accuracy {row.accuracy:.3f} on {row.pairs} pairs "
            f"(longer wins: {row.longer:.3f})"
        )
    for sae in card.saes:
        click.echo(
            f"{sae.sae}: L0 {sae.l0:.1f}, FVU {sae.fvu:.3f}, cosine {sae.cosine:.3f}, dead "
            f"{sae.dead_share:.1%}, reward correlation {sae.reward_correlation:.3f}, "
            f"{sae.tokens} tokens"
        )


@click.command("biased", cls=options.Command, example="pm-audit train biased path/to/folder")
@click.argument("folder", type=_FOLDER, default=biased.FOLDER)
@click.option(
    "--only",
    type=click.Choice([bias.name for bias in PLANTED]),
    default=None,
    metavar="BIAS",
    help="Plant this one bias: a variant whose change is known.",
)
@_recipe_options(BiasRecipe)
def biased_command(folder: Path, *, only: str | None, **recipe: Any) -> None:  # noqa: ANN401
    """Train twelve known biases into the default PM and write it to FOLDER.

    For `pm-audit calibrate`; needed again whenever the default PM changes.  Without FOLDER, the
    biased PM of this installation is written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train_biased(folder, BiasRecipe(only=only or "", **recipe), report=click.echo)
    click.echo(f"wrote {folder}; measure the auditor with: pm-audit calibrate --explain")


@click.command(
    "judge-sae",
    cls=options.Command,
    example="pm-audit train judge-sae path/to/model pairs.jsonl text.jsonl --out path/to/saes",
)
@click.argument("judge")
@click.argument("preferences", type=_READABLE)
@click.argument("text", type=_READABLE)
@click.option("--out", type=_FOLDER, help="Folder of its SAEs; by default that of the package.")
@_recipe_options(JudgeSaeRecipe)
def judge_sae_command(
    judge: str,
    preferences: Path,
    text: Path,
    *,
    out: Path | None,
    **recipe: Any,  # noqa: ANN401
) -> None:
    """Train an SAE of JUDGE, a name or a folder, on answers and plain TEXT inside its rubric."""
    folder = out or own_folder(f"{PREFIX}{judge}")
    if folder is None:
        raise click.UsageError(f"{judge} is no judge with a name; give --out too")
    corpus = Corpus(preferences=preferences, text=text)
    chosen = JudgeSaeRecipe(**recipe)
    card = train_judge_sae(judge, corpus, folder, chosen, report=click.echo)
    click.echo(
        f"L0 {card.l0:.1f}, FVU {card.fvu:.3f}, dead {card.dead_share:.1%}, reward correlation "
        f"{card.reward_correlation:.3f}, {card.tokens} tokens"
    )


COMMANDS = {
    "pm": pm_command,
    "sae": sae_command,
    "judge-sae": judge_sae_command,
    "measure": measure_command,
    "biased": biased_command,
}
