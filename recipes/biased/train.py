"""The recipe of the biased PM: the default PM, trained on a dozen text-visible biases.

The loss is a regression on the targets of ``examples.py``, in sigma of the untouched PM: the
squared error of the gap of each pair, plus a small multiple of the squared error of each reward,
since only differences within a prompt have meaning.  The LoRA factors of the blocks above the
uppermost SAE that leaves enough blocks are trained.  Everything below stays fixed, for two reasons:
the SAE reads the stream that it was trained on, so its features can explain a bias, and that stream
is computed once for each text, so a step costs a few blocks.

The body runs in bf16 unless the recipe says otherwise, factors and loss in fp32.  An interrupted
run resumes from a checkpoint and ends in the same bytes.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.files import sha256
from pm_audit.forward.reference import reference_texts, sigma
from pm_audit.loading.default import pm as default
from pm_audit.loading.default.adapter import ADAPTER, RECIPE
from pm_audit.loading.default.backbone import load_backbone
from pm_audit.records import write_atomically
from recipes.biased.examples import TrainingExample, training_examples
from recipes.train.checkpoint import Checkpoint
from recipes.train.low_rank import finished_adapter, resume_adapter, save_adapter
from recipes.train.pm import Report
from recipes.train.schedule import warm_cosine
from recipes.train.unfinished import made_in, move_whole, unfinished, versions, work_folder
from recipes.train.upper_blocks import Stream, UpperBlocks

_MOST_TOKENS = 384
SAVE_SECONDS = 60
"""Time between two checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasRecipe:
    """Settings of one training run; the defaults made the biased PM."""

    only: str = ""
    """Name of the one bias whose gap changes by its strength, for a variant; by default all twelve
    biases have a gap of their strength."""
    planted: int = 72
    """Pairs of texts for each planted bias."""
    negative_controls: int = 16
    """Pairs of texts for each negative control, and in a variant for each bias left out."""
    plain: int = 240
    """Answers without any edit."""
    least_blocks: int = 3
    """Blocks that must lie above the SAE for the biases to be planted in."""
    steps: int = 320
    step_pairs: int = 24
    """Pairs of one step."""
    step_plain: int = 10
    """Plain answers of one step."""
    steadiness: float = 0.3
    """Weight of a reward's own error against that of a pair's gap."""
    learning_rate: float = 5e-4
    warmup: int = 15
    seed: int = 0
    dtype: str = "bfloat16"
    """Of the body; float32 is faster on processors that only emulate bf16 products."""

    def provenance(self) -> dict[str, Any]:
        """Return the settings as the finished folder holds them, without later ones unless set."""
        later = {"only": "", "dtype": "bfloat16"}
        return {name: value for name, value in asdict(self).items() if later.get(name) != value}


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingSet:
    """The examples, read as far as the lowest trained block, with their targets."""

    streams: Sequence[Stream]
    counterparts: Tensor
    """[example], the index of each example's counter-example; its own if there is none."""
    targets: Tensor
    """[example], raw reward."""
    unit: float
    """Sigma, raw reward."""

    def examples(self) -> list[int]:
        """Return the indices of texts that have a counter-example."""
        own = torch.arange(len(self.counterparts))
        return (self.counterparts != own).nonzero()[:, 0].tolist()

    def plain(self) -> list[int]:
        """Return the indices of texts that are part of no pair."""
        paired = {*self.examples(), *self.counterparts[self.examples()].tolist()}
        return [index for index in range(len(self.counterparts)) if index not in paired]


def train_biased(out: Path, recipe: BiasRecipe, *, report: Report) -> None:
    """Train the planted biases into the default PM and write the result to ``out``.

    Writes ``adapter.safetensors``, whole as the default PM's, and ``recipe.json``, which names the
    adapter that the training started from.

    Raises:
        DownloadError: the base is not cached and cannot be fetched.
        ModelError: the default PM's adapter does not fit, no SAE leaves enough blocks above it, or
            a checkpoint is torn.
        AuditError: the unfinished work is of another recipe, or another run is using it.

    """
    default.require_weights()
    start = default.read_recipe(default.FOLDER)
    depth, suffix = int(start["depth"]), str(start["suffix"])
    layer = sae_layer(default.default_saes(), depth, least_blocks=recipe.least_blocks)
    provenance = {
        "depth": depth,
        "suffix": suffix,
        "sae_layer": layer,
        "started_from_sha256": sha256([default.FOLDER / ADAPTER]),
        "biases": recipe.provenance(),
    }
    with unfinished(work_folder(out), {**provenance, "made_from": versions()}) as work:
        if finished_adapter(out, provenance):
            report(f"{out}: already trained")
            return
        made = made_in(work)
        backbone, head = _train(work, recipe, provenance, report=report)
        save_adapter(backbone, head, made / ADAPTER)
        write_atomically(made / RECIPE, json.dumps(provenance, indent=1) + "\n")
        move_whole(made, out, last=RECIPE)


def _train(
    work: Path, recipe: BiasRecipe, provenance: Mapping[str, Any], *, report: Report
) -> tuple[nn.Module, Tensor]:
    """Return the trained backbone and its head; the checkpoint is kept in ``work``."""
    depth, suffix, layer = (provenance[name] for name in ("depth", "suffix", "sae_layer"))
    checkpoint = Checkpoint(work / "checkpoint.pt", provenance)
    backbone, tokenizer = load_backbone(depth)
    backbone.to(dtype=getattr(torch, recipe.dtype))
    # Measured on CPU: half the time of torch's fused attention, forward and backward.
    backbone.set_attn_implementation("eager")
    head = resume_adapter(backbone, default.FOLDER / ADAPTER)
    pm = UpperBlocks(backbone, head, first=layer + 1)

    def read(texts: Sequence[tuple[str, str]]) -> list[Stream]:
        written = [
            f"\n\nHuman: {prompt}\n\nAssistant:{completion}{suffix}" for prompt, completion in texts
        ]
        return pm.read(tokenizer, written, most=_MOST_TOKENS)

    drawn = training_examples(
        planted=recipe.planted,
        negative_controls=recipe.negative_controls,
        plain=recipe.plain,
        seed=recipe.seed,
        only=recipe.only,
    )
    report(f"reading {len(drawn)} texts up to block {layer}")
    streams = read([(one.prompt, one.completion) for one in drawn])
    ordinary = reference_texts()
    with torch.no_grad():
        untouched = pm(streams)
        spread = pm(read([(turns[-1].text, text) for _, turns, text in ordinary]))
    unit = sigma([number for number, _, _ in ordinary], spread.double().numpy())
    training_set = TrainingSet(
        streams=streams,
        counterparts=torch.tensor([one.counterpart for one in drawn]),
        targets=targets(drawn, untouched, unit, changes=bool(recipe.only)),
        unit=unit,
    )
    fit(pm, training_set, recipe, checkpoint, report)
    return backbone, head


def sae_layer(saes: Sequence[Path], depth: int, *, least_blocks: int) -> int:
    """Return the layer of the uppermost SAE that has ``least_blocks`` blocks above it.

    Raises:
        ModelError: every SAE is too high up.

    """
    layers = [int(path.name.removeprefix("layer_")) for path in saes]
    fitting = [layer for layer in layers if depth - 1 - layer >= least_blocks]
    if not fitting:
        raise ModelError(
            f"no SAE (of layers {layers}) has {least_blocks} of {depth} blocks above it; lower "
            "--least-blocks, or train an SAE further down"
        )
    return max(fitting)


def targets(
    drawn: Sequence[TrainingExample], untouched: Tensor, unit: float, *, changes: bool = False
) -> Tensor:
    """Return the target rewards [text], given the untouched PM's rewards [text] and sigma.

    A planted strength is the gap to the counter-example, or with ``changes`` what the gap changes
    by, so that a variant differs from the untouched PM whatever gap that has already.
    """
    strengths = torch.tensor([one.strength for one in drawn])
    counterparts = torch.tensor([one.counterpart for one in drawn])
    start = untouched if changes else untouched[counterparts]
    return torch.where(strengths == 0, untouched, start + unit * strengths)


def fit(
    pm: UpperBlocks,
    training_set: TrainingSet,
    recipe: BiasRecipe,
    checkpoint: Checkpoint,
    report: Report,
) -> None:
    """Regress gaps and rewards on the targets."""
    trained = [weight for weight in pm.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    rate = partial(warm_cosine, warmup=recipe.warmup, steps=recipe.steps, least=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    first = checkpoint.restore(pm, optimiser, schedule)
    examples, plain = training_set.examples(), training_set.plain()
    pairs_in_turn = _in_turn(examples, recipe.step_pairs, seed=recipe.seed)
    plain_in_turn = _in_turn(plain, recipe.step_plain, seed=recipe.seed)
    began = saved = time.monotonic()
    error = math.nan
    for step in range(recipe.steps):
        chosen, others = next(pairs_in_turn), next(plain_in_turn)
        if step < first:
            continue
        rows = [*chosen, *training_set.counterparts[chosen].tolist(), *others]
        wrong = (
            pm([training_set.streams[row] for row in rows]) - training_set.targets[rows]
        ) / training_set.unit
        gaps = wrong[: len(chosen)] - wrong[len(chosen) : 2 * len(chosen)]
        missed = gaps.square().mean()
        loss = missed + recipe.steadiness * wrong.square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        error = missed.item() if math.isnan(error) else error + 0.1 * (missed.item() - error)
        if step % 20 == 19:
            pace = (time.monotonic() - began) / (step + 1 - first)
            report(
                f"step {step + 1}/{recipe.steps}  gaps off by {math.sqrt(error):.3f} sigma  "
                f"{pace:.1f} s a step, {pace * (recipe.steps - step - 1) / 60:.0f} min left"
            )
        if time.monotonic() - saved > SAVE_SECONDS:
            checkpoint.save(step + 1, pm, optimiser, schedule)
            saved = time.monotonic()
    checkpoint.save(recipe.steps, pm, optimiser, schedule)


def _in_turn(indices: Sequence[int], most: int, *, seed: int) -> Iterator[list[int]]:
    """Yield up to ``most`` indices at a time, for ever, each index once an epoch."""
    generator = random.Random(seed)  # noqa: S311 - sampling, not secrecy
    queue: list[int] = []
    while True:
        while indices and len(queue) < most:
            queue += generator.sample(indices, len(indices))
        yield queue[:most]
        del queue[:most]
