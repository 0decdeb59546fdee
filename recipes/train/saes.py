"""The recipe of the default PM's sparse autoencoders, through sae-lens's own trainer.

Activations after the chosen blocks of the PM itself (adapter merged) are gathered first, for all
layers in one forward a text; then one SAE a layer is fitted on shuffled batches.  TopK SAEs
(https://arxiv.org/abs/2406.04093) and gated SAEs (https://arxiv.org/abs/2404.16014) are on offer;
the model card states how they compared.  Decoder rows start as centred activations, so that each
latent fires on something from the first step.  With a reward loss each is then tuned by what its
error does to the reward.  The result is a folder in sae-lens's format with weights in fp16.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pm_audit.errors import AuditError
from pm_audit.files import sha256
from pm_audit.loading.default.adapter import ADAPTER
from pm_audit.loading.default.pm import load_pm
from pm_audit.records import write_atomically
from recipes.train.activations import Corpus, gather, read_layer
from recipes.train.pm import Report
from recipes.train.reward_sae import RewardTuning, tune_for_reward
from recipes.train.sae_files import WEIGHTS, write_halves
from recipes.train.sae_fit_state import FitState
from recipes.train.schedule import require_batch
from recipes.train.unfinished import (
    made_in,
    move_whole,
    read_tensors,
    unfinished,
    versions,
    work_folder,
)

MEAN_TOKENS = 20_000
"""Tokens from which the mean activation is taken."""

START_NORM = 0.1
"""Norm of decoder rows at the start, sae-lens's own."""

CHECKPOINTS = 12
"""Checkpoints of one fit."""

NORM_BATCHES = 20
"""Batches from which the mean norm is taken, before the first step."""

NOTE = "made_from.json"
"""The file of an SAE's folder that says what it was made from; without it the SAE is unfinished."""


class Architecture(StrEnum):
    """Which SAE is trained."""

    GATED = "gated"
    TOPK = "topk"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaeRecipe:
    """Settings of one training run; the defaults made the default PM's SAEs."""

    layers: tuple[int, ...] = (5, 8)
    """Blocks after which an SAE reads, counted from 0."""
    architecture: Architecture = Architecture.TOPK
    width: int = 4096
    """Number of latents."""
    k: int = 64
    """Active features a token (TopK)."""
    l1: float = 1.0
    """Weight of the sparsity penalty (gated)."""
    tokens: int = 600_000
    """Tokens gathered."""
    epochs: float = 2.0
    """Passes over the gathered tokens."""
    batch: int = 512
    learning_rate: float = 1e-3
    seed: int = 0


def train_saes(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    out: Path,
    recipe: SaeRecipe,
    *,
    tuning: RewardTuning | None = None,
    start: Path | None = None,
    report: Report,
) -> None:
    """Train one SAE for each layer of the recipe and write it to ``out/layer_{index}``.

    Each is moved into its place whole, with a note of what it was made from.  Until all are there
    the work lies in ``out/.saes.training``, from which an interrupted run goes on, to the same
    bytes: gathered shards, finished layers and the fit's checkpoints stay.

    Args:
        backbone: of the PM, with its adapter merged; it loses its upper blocks.
        tokenizer: of the PM.
        corpus: what activations are gathered on.
        out: the PM's folder.
        recipe: what is trained.
        tuning: what follows, for the reward; None for reconstruction alone.
        start: folder of a finished SAE after the recipe's one layer, to tune in place of a new one.
        report: receives progress.

    Raises:
        AuditError: an SAE of another recipe, PM or corpus is there already, unfinished work is of
            another, a file of it is torn, or sae-lens is not installed.

    """
    key = _key(out, corpus, recipe, tuning, start)
    folders = {layer: out / f"layer_{layer}" for layer in recipe.layers}
    with unfinished(work_folder(out / "saes"), key) as work:
        left = [layer for layer in recipe.layers if not _is_finished(folders[layer], key)]
        for layer in sorted(set(recipe.layers) - set(left)):
            report(f"layer {layer}: already trained")
        if not left:
            return
        shards = []
        if start is None:
            shards = gather(
                _lower_part(backbone, max(recipe.layers)),
                tokenizer,
                corpus,
                recipe.layers,
                tokens=recipe.tokens,
                folder=work / "activations",
                seed=recipe.seed,
                report=report,
            )
        for layer in left:
            made, device = made_in(work) / f"layer_{layer}", str(backbone.device)
            if start is None:
                report(
                    f"layer {layer}: fitting {recipe.architecture.value}, {recipe.width} latents"
                )
                activations = read_layer(shards, layer)
                state = work / f"layer_{layer}.pt"
                fit_sae(activations, layer, made, recipe, state=state, device=device)
            else:
                shutil.copytree(start, made)
            if tuning is not None:
                pm = load_pm(out, device=device)
                tune_for_reward(pm, made, corpus, tuning, work, seed=recipe.seed, report=report)
            write_atomically(made / NOTE, json.dumps(key, indent=1) + "\n")
            move_whole(made, folders[layer], last=NOTE)
            report(f"layer {layer}: written to {folders[layer]}")


def _key(
    out: Path, corpus: Corpus, recipe: SaeRecipe, tuning: RewardTuning | None, start: Path | None
) -> dict[str, Any]:
    """Return everything that an SAE's bytes hang on."""
    adapter = out / ADAPTER
    read = {name: value for name, value in asdict(corpus).items() if not isinstance(value, Path)}
    return {
        "recipe": asdict(recipe),
        "tuning": None if tuning is None else asdict(tuning),
        "start": None if start is None else sha256([start / WEIGHTS]),
        "pm": sha256([adapter]) if adapter.is_file() else None,
        "corpus": read | {"sha256": [sha256([corpus.preferences]), sha256([corpus.text])]},
        "made_from": versions(),
    }


def _is_finished(folder: Path, key: dict[str, Any]) -> bool:
    """Whether this SAE is there; one that was made otherwise is refused, never overwritten."""
    if not folder.exists():
        return False
    note = folder / NOTE
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        found = problem
    if found != json.loads(json.dumps(key)):
        raise AuditError(
            f"{note}: an SAE is there already, and not of this recipe, PM and corpus; remove "
            f"{folder} or choose another --layer"
        )
    read_tensors(folder / WEIGHTS)
    return True


def fit_sae(
    activations: Tensor,
    layer: int,
    folder: Path,
    recipe: SaeRecipe,
    *,
    state: Path,
    device: str = "cpu",
    model: str = "pm_audit default PM",
    autocast: bool = True,
) -> None:
    """Fit one SAE on activations [token hidden] and write it in sae-lens's format, fp16.

    Args:
        activations: to fit.
        layer: that they were read after.
        folder: where the SAE is written.
        recipe: how it is fitted.
        state: file of the fit's checkpoint, from which an interrupted fit goes on.
        device: where it is fitted.
        model: of whose stream it is, as its configuration names it.
        autocast: whether products are taken in bf16, which some processors emulate, five times
            slower than fp32.

    Raises:
        AuditError: sae-lens is not installed, the activations fill no batch, or the checkpoint is
            torn.

    """
    try:
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer
    except ImportError as error:
        raise AuditError(
            f"training SAEs needs sae-lens ({error}); install it with "
            "`pip install 'pm-audit[train]'`"
        ) from None
    torch.manual_seed(recipe.seed)
    require_batch(len(activations), recipe.batch, recipe.epochs)
    steps = int(len(activations) * recipe.epochs) // recipe.batch
    config = SAETrainerConfig(
        total_training_samples=steps * recipe.batch,
        train_batch_size_samples=recipe.batch,
        lr=recipe.learning_rate,
        lr_end=recipe.learning_rate / 10,
        lr_warm_up_steps=min(100, steps // 10),
        lr_decay_steps=steps // 3,
        device=device,
        autocast=autocast,
        dead_feature_window=max(20, steps // 20),
        feature_sampling_window=max(100, steps // 4),
        n_checkpoints=CHECKPOINTS,
        checkpoint_path=None,
        n_batches_for_norm_estimate=NORM_BATCHES,
        logger=LoggingConfig(log_to_wandb=False),
    )
    sae = _training_sae(activations.shape[1], layer, steps, recipe, model)
    _start_from(sae, activations, recipe)
    sae.to(device)
    progress = FitState(state)
    batches = itertools.islice(_batches(activations, recipe), progress.batches(NORM_BATCHES), None)
    trainer: Any = SAETrainer(
        config, sae, batches, save_checkpoint_fn=lambda **_: progress.save(trainer)
    )
    progress.restore(trainer)
    trainer.fit()
    sae.save_inference_model(folder)
    write_halves(load_file(folder / WEIGHTS), folder)


def _training_sae(hidden_size: int, layer: int, steps: int, recipe: SaeRecipe, model: str) -> Any:  # noqa: ANN401 - sae-lens is not installed everywhere
    from sae_lens.saes.gated_sae import GatedTrainingSAE, GatedTrainingSAEConfig
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    shared: dict[str, Any] = {
        "d_in": hidden_size,
        "d_sae": recipe.width,
        "normalize_activations": "expected_average_only_in",
        "apply_b_dec_to_input": True,
        "metadata": SAEMetadata(model_name=model, hook_name=f"blocks.{layer}.hook_resid_post"),
    }
    if recipe.architecture is Architecture.GATED:
        return GatedTrainingSAE(
            GatedTrainingSAEConfig(l1_coefficient=recipe.l1, l1_warm_up_steps=steps // 10, **shared)
        )
    return TopKTrainingSAE(TopKTrainingSAEConfig(k=recipe.k, **shared))


@torch.no_grad()
def _start_from(sae: Any, activations: Tensor, recipe: SaeRecipe) -> None:  # noqa: ANN401
    """Start the decoder's bias at the mean activation and its rows at centred activations.

    The trainer multiplies activations so that their mean norm is ``sqrt(hidden)``; the bias is in
    that unit.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(activations), generator=generator)
    sample = activations[order[:MEAN_TOKENS]].float()
    mean, norm = sample.mean(dim=0), sample.norm(dim=-1).mean()
    # Fewer activations than latents is only seen in rehearsals; repeats do no harm there.
    chosen = order[torch.arange(recipe.width) % len(order)]
    directions = torch.nn.functional.normalize(activations[chosen].float() - mean, dim=-1)
    sae.b_dec.copy_(mean * (sample.shape[-1] ** 0.5 / norm))
    sae.W_dec.copy_(START_NORM * directions)
    sae.W_enc.copy_(sae.W_dec.T)


def _batches(activations: Tensor, recipe: SaeRecipe) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(recipe.seed)
    while True:
        order = torch.randperm(len(activations), generator=generator)
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            yield activations[order[start : start + recipe.batch]].float()


def _lower_part(backbone: PreTrainedModel, last: int) -> PreTrainedModel:
    """Drop the blocks above the last layer that is read, in place; they cost and say nothing."""
    backbone.layers = backbone.layers[: last + 1]
    return backbone.to(torch.bfloat16)
