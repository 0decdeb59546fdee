"""The recipe of a preference model: Bradley-Terry on pairs, LoRA on the upper blocks.

1. Read the frozen base once over the training pairs and fit the head by logistic regression on
   the differences of the last token's normalised states: a linear probe.
2. Train LoRA (https://arxiv.org/abs/2106.09685) on the blocks from ``first_trained`` up, and the
   head, on ``-log sigmoid(reward(chosen) - reward(rejected))``.  Nothing below is
   differentiated.  Pairs of one prompt form a group, so that a shared completion is read once.
3. Drop the uppermost trained blocks, which overfit the training pairs first, and fit the head again
   on the states of the last block that is kept.

The body runs in bf16, LoRA, head and loss in fp32.  An interrupted run resumes from a checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from pm_audit.errors import InvalidSpec, ModelError, Place, Problem
from pm_audit.files import sha256
from pm_audit.loading.default.adapter import ADAPTER, RECIPE
from pm_audit.loading.default.backbone import load_backbone
from pm_audit.loading.default.base import SHA256 as BASE
from pm_audit.loading.device import require_device
from pm_audit.records import write_atomically
from recipes.train.checkpoint import Checkpoint
from recipes.train.logistic_head import PENALTIES, Probe, fit_probe, frozen_states
from recipes.train.low_rank import add_low_rank, finished_adapter, save_adapter
from recipes.train.preferences import (
    Group,
    Pair,
    even_epochs,
    few_a_source,
    group_by_prompt,
    is_test,
    read_pairs,
    spread,
)
from recipes.train.reward_model import CHARACTERS_A_TOKEN, RewardModel, collate, device
from recipes.train.schedule import warm_cosine
from recipes.train.unfinished import made_in, move_whole, unfinished, versions, work_folder

SAVE_SECONDS = 120
"""Time between two checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PmRecipe:
    """Settings of one training run; the defaults made the default PM."""

    depth: int = 10
    """Blocks of the base that the PM keeps."""
    trained_depth: int = 12
    """Blocks while LoRA is trained; those above ``depth`` are dropped afterwards."""
    first_trained: int = 4
    """First block with LoRA, counted from 0."""
    rank: int = 16
    steps: int = 800
    """Steps of LoRA training after the probe; 0 leaves the body unchanged."""
    batch_tokens: int = 4096
    """Tokens of one optimiser step, prompts and completions."""
    micro_tokens: int = 1024
    """Padded tokens of one forward."""
    learning_rate: float = 2e-4
    head_learning_rate: float = 1e-3
    warmup: int = 30
    probe_pairs_a_prompt: tuple[tuple[str, int], ...] = (("alpaca_eval", 3), ("rmb", 4))
    """Sources with many pairs a prompt, and the most that the probe is fitted on."""
    emphasis: tuple[tuple[str, float], ...] = (("hh-rlhf", 6.0),)
    """Factors by which sources are drawn more often than the square root of their size gives."""
    refit_pairs: int = 1500
    """Most pairs of a source that the head is fitted on again."""
    refit_emphasis: tuple[tuple[str, float], ...] = (("hh-rlhf", 5.0),)
    """Factors on the weights of sources in that fit, as ``emphasis``."""
    refit_penalty: float = 1.0
    """Weight of the squared norm in that fit.  Cross-validation cannot choose it: on states trained
    on these pairs it prefers nearly none."""
    suffix: str = "<|im_end|>\n"
    """Written after every completion, here the base's end of turn; the reward is at its end."""
    max_tokens: int = 384
    """Longer texts are left out of training: they cost much and add little accuracy."""
    pairs_a_group: int = 3
    seed: int = 0


Report = Callable[[str], None]


def train_pm(data: Path, out: Path, recipe: PmRecipe, *, device: str, report: Report) -> None:
    """Train a preference model on the pairs in ``data`` and write it to ``out``.

    Writes ``adapter.safetensors`` (LoRA factors, head) and ``recipe.json``.  Until they are
    finished all work lies in a folder next to ``out``, from which an interrupted run goes on,
    to the same bytes; see ``unfinished.py``.

    Raises:
        InvalidSpec: the data cannot be read as preference pairs, or holds none to train on.
        ModelError: a file of unfinished work is torn, or the recipe's depths do not fit together.
        AuditError: the unfinished work is of another recipe or of other data, or another run
            is using it.

    """
    require_device(device)
    if not recipe.first_trained <= recipe.depth <= recipe.trained_depth:
        raise ModelError(
            f"{recipe.depth} blocks cannot be kept of {recipe.trained_depth}, of which those from "
            f"{recipe.first_trained} up are trained; check --depth and --trained-depth"
        )
    pairs = [
        pair
        for pair in read_pairs(data)
        if not is_test(pair) and _longest(pair) <= CHARACTERS_A_TOKEN * recipe.max_tokens
    ]
    if not pairs:
        message = f"no pair of at most {recipe.max_tokens} tokens to train on; raise --max-tokens"
        raise InvalidSpec([Problem(Place(str(data)), message)])
    made_from = {"data": sha256([data]), "base": BASE, "device": device, **versions()}
    described = {**asdict(recipe), "made_from": made_from}
    with unfinished(work_folder(out), described) as work:
        if finished_adapter(out, described):
            report(f"{out}: already trained")
            return
        made = made_in(work)
        backbone, head = _train(pairs, work, recipe, device=device, report=report)
        save_adapter(backbone, head, made / ADAPTER)
        write_atomically(made / RECIPE, json.dumps(described, indent=1) + "\n")
        move_whole(made, out, last=RECIPE)


def _train(
    pairs: Sequence[Pair], work: Path, recipe: PmRecipe, *, device: str, report: Report
) -> tuple[nn.Module, Tensor]:
    """Return the trained backbone and its head; states and checkpoints are kept in ``work``."""
    torch.manual_seed(recipe.seed)
    groups = group_by_prompt(pairs, most=recipe.pairs_a_group, seed=recipe.seed)
    report(f"{len(pairs)} training pairs over {len(groups)} groups")
    backbone, tokenizer = load_backbone(recipe.trained_depth)
    hidden_size = backbone.config.hidden_size
    backbone.to(dtype=torch.bfloat16)
    # Measured on CPU: half the time of torch's fused attention, forward and backward.
    backbone.set_attn_implementation("eager")
    if recipe.steps:
        add_low_rank(backbone.layers[recipe.first_trained :], rank=recipe.rank)
    model = RewardModel(backbone, hidden_size).to(device)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    adapter = [weight for weight in trained if weight is not model.head.weight]
    optimiser = torch.optim.AdamW(
        [
            {"params": adapter, "lr": recipe.learning_rate},
            {"params": [model.head.weight], "lr": recipe.head_learning_rate},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.0,
    )
    rate = partial(warm_cosine, warmup=recipe.warmup, steps=recipe.steps, least=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    checkpoint = Checkpoint(work / "checkpoint.pt", asdict(recipe))
    start = checkpoint.restore(model, optimiser, schedule)
    if start == 0:
        some = spread(pairs, dict(recipe.probe_pairs_a_prompt), seed=recipe.seed)
        fit = partial(fit_probe, emphasis={}, penalties=PENALTIES)
        _fit_head(model, tokenizer, some, recipe, work / "states", report, fit)
    emphasis = dict(recipe.emphasis)
    stream = even_epochs(groups, seed=recipe.seed, emphasis=emphasis)
    loss_mean, hits_mean, saved, began = math.log(2), 0.5, time.monotonic(), time.monotonic()
    for step in range(recipe.steps):
        chosen = _take(stream, recipe.batch_tokens)
        if step < start:
            continue
        loss, hits = _step(model, tokenizer, chosen, recipe)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        loss_mean += 0.03 * (loss - loss_mean)
        hits_mean += 0.03 * (hits - hits_mean)
        if step % 20 == 19 or step == start:
            pace = (time.monotonic() - began) / (step + 1 - start)
            left = pace * (recipe.steps - step - 1) / 60
            report(
                f"step {step + 1}/{recipe.steps}  loss {loss_mean:.3f}  accuracy {hits_mean:.3f}"
                f"  {pace:.1f} s a step, {left:.0f} min left"
            )
        if time.monotonic() - saved > SAVE_SECONDS:
            checkpoint.save(step + 1, model, optimiser, schedule)
            saved = time.monotonic()
    checkpoint.save(recipe.steps, model, optimiser, schedule)
    if recipe.steps:
        cut_and_refit(model, tokenizer, pairs, recipe, work / "trained_states", report)
    return model.backbone, model.head.weight


def cut_and_refit(
    model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    recipe: PmRecipe,
    folder: Path,
    report: Report,
) -> None:
    """Drop the blocks above the recipe's depth and fit the head on the states that are left.

    Args:
        model: trained, with ``trained_depth`` blocks.
        tokenizer: of its base.
        pairs: that it was trained on.
        recipe: says how deep the PM is, and what the head is fitted on.
        folder: where states are kept while they are read.
        report: receives progress.

    """
    if recipe.depth < recipe.trained_depth:
        kept = list(model.backbone.get_submodule("layers").children())[: recipe.depth]
        model.backbone.layers = nn.ModuleList(kept)
        # the head was trained on the states of a block that is gone
        nn.init.zeros_(model.head.weight)
    some = few_a_source(pairs, recipe.refit_pairs, seed=recipe.seed)
    emphasis = dict(recipe.refit_emphasis)
    fit = partial(fit_probe, emphasis=emphasis, penalties=[recipe.refit_penalty])
    _fit_head(model, tokenizer, some, recipe, folder, report, fit)


def _longest(pair: Pair) -> int:
    return len(pair.prompt) + max(len(pair.chosen), len(pair.rejected))


def _take(stream: Iterator[Group], tokens: int) -> list[Group]:
    chosen: list[Group] = []
    while sum(group.characters for group in chosen) < CHARACTERS_A_TOKEN * tokens:
        chosen.append(next(stream))
    return chosen


def _fit_head(
    model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    recipe: PmRecipe,
    folder: Path,
    report: Report,
    fit: Callable[..., Probe],
) -> None:
    """Set the head to the logistic regression on the body's present states."""
    texts = sorted({(pair.prompt, text) for pair in pairs for text in (pair.chosen, pair.rejected)})

    @torch.no_grad()
    def read(written: Sequence[str]) -> Tensor:
        full = [text + recipe.suffix for text in written]
        return model.states(collate(tokenizer, full, recipe.max_tokens, device(model))).cpu()

    states = frozen_states(texts, read, folder, report=report)
    probe = fit(pairs, states, toward=model.head.weight.detach()[0].cpu())
    by_source = ", ".join(f"{source} {share:.3f}" for source, share in probe.accuracy.items())
    report(
        f"head fitted on {len(pairs)} pairs, penalty {probe.penalty:g}; accuracy on prompts left "
        f"out of the fit: macro {probe.macro:.3f} ({by_source})"
    )
    model.head.weight.data.copy_(probe.weight[None])


def _step(
    model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[Group],
    recipe: PmRecipe,
) -> tuple[float, float]:
    """Accumulate the gradient of one optimiser step; return mean loss and accuracy.

    Texts of all groups are read in order of length, which leaves little padding, before the one
    backward.
    """
    texts = [group.prompt + text + recipe.suffix for group in groups for text in group.completions]
    rewards = _rewards(model, tokenizer, texts, recipe)
    first = 0
    wins = []
    for group in groups:
        own = rewards[first : first + len(group.completions)]
        first += len(group.completions)
        wins += [own[chosen] - own[rejected] for chosen, rejected in group.pairs]
    margins = torch.stack(wins)
    loss = -F.logsigmoid(margins).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), float((margins > 0).float().mean())


def _rewards(
    model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    recipe: PmRecipe,
) -> Tensor:
    """Return the rewards [text] in the order given; each forward reads texts of similar length."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]), reverse=True)
    parts = []
    first = 0
    while first < len(order):
        longest = min(len(texts[order[first]]) / CHARACTERS_A_TOKEN, recipe.max_tokens)
        rows = order[first : first + max(1, int(recipe.micro_tokens / max(1.0, longest)))]
        batch = collate(tokenizer, [texts[at] for at in rows], recipe.max_tokens, device(model))
        parts.append(model(batch))
        first += len(rows)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(parts)[back.to(parts[0].device)]
