"""Kill training recipes at random moments: the finished files are an unbroken run's.

    python -m tests.recipes.train.killed_recipes FOLDER --recipe pm --kills 100

Tiny models stand in for the base; everything else is the recipes' own.  Runs are forked from one
process that has imported all libraries, and ended by SIGKILL after a random share of an unbroken
run's time.  Fails where a finished file differs, or where anything is left beside the result.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from pm_audit.loading.default import pm as default
from recipes.biased import train as train_biased
from recipes.biased.train import BiasRecipe
from recipes.planted.linear import byte_tokenizer
from recipes.train import activations, gradients, reward_sae
from recipes.train import pm as train_pm
from recipes.train.activations import Corpus
from recipes.train.pm import PmRecipe
from recipes.train.reward_sae import RewardTuning
from recipes.train.saes import SaeRecipe, train_saes

PM = PmRecipe(
    depth=2,
    trained_depth=3,
    first_trained=1,
    rank=2,
    steps=12,
    batch_tokens=120,
    micro_tokens=100,
    warmup=2,
    refit_pairs=20,
    suffix="~",
    max_tokens=64,
)
SAE = SaeRecipe(layers=(0, 1), width=32, k=4, tokens=1024, epochs=6, batch=64)
TUNING = RewardTuning(reward_shards=2, reward_batch=64, reward_epochs=2)
BIASES = BiasRecipe(
    planted=1, negative_controls=1, plain=4, least_blocks=1, steps=12, step_pairs=3, step_plain=2
)
Run = Callable[[Path], None]
"""Trains into a folder."""


def tiny_backbone(depth: int) -> tuple[LlamaModel, PreTrainedTokenizerFast]:
    """Return a base of ``depth`` blocks, the same at every call."""
    torch.manual_seed(11)
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=depth,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
    )
    return LlamaModel(config).eval().requires_grad_(requires_grad=False), tokenizer


def write_data(folder: Path) -> tuple[Path, Path]:
    """Write preference pairs and plain texts."""
    pairs, texts = folder / "pairs.jsonl", folder / "texts.jsonl"
    rows = [
        {
            "source": f"source-{number % 2}",
            "prompt_id": f"p{number}",
            "prompt": f"Human: {number}?\n\nAssistant:",
            "chosen": f"Yes, {number}.",
            "rejected": f"No {number * 7}",
        }
        for number in range(30)
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [json.dumps({"text": f"Plain text number {number}."}) for number in range(9)]
    texts.write_text("\n".join(lines) + "\n")
    return pairs, texts


def prepare(folder: Path) -> dict[str, Run]:
    """Put the tiny base in place and return how each recipe is run."""
    torch.set_num_threads(1)
    pairs, texts = write_data(folder)
    train_pm.load_backbone = train_biased.load_backbone = tiny_backbone
    train_pm.SAVE_SECONDS = train_biased.SAVE_SECONDS = 0
    train_biased._MOST_TOKENS = 64
    activations.SHARD_TOKENS = 512
    gradients.PROMPTS_A_SHARD, gradients.PROMPTS_A_GRID, reward_sae.EVERY = 6, 3, 2
    base = folder / "base"
    default.load_backbone = tiny_backbone
    default.fetch_base = lambda: pairs

    def pm(out: Path) -> None:
        train_pm.train_pm(pairs, out, PM, device="cpu", report=lambda _: None)

    def sae(out: Path) -> None:
        out.mkdir(exist_ok=True)
        for name in ("adapter.safetensors", "recipe.json"):
            shutil.copy(base / name, out / name)
        backbone, tokenizer = tiny_backbone(PM.depth)
        corpus = Corpus(preferences=pairs, text=texts, suffix=PM.suffix, max_tokens=48)
        train_saes(backbone, tokenizer, corpus, out, SAE, tuning=TUNING, report=lambda _: None)

    def biased(out: Path) -> None:
        default.FOLDER = base
        default.default_saes = lambda: (Path("layer_0"),)
        train_biased.train_biased(out, BIASES, report=lambda _: None)

    if not base.exists():
        pm(base)
    return {"pm": pm, "sae": sae, "biased": biased}


def forked(run: Run, out: Path, *, seconds: float | None = None) -> bool:
    """Run in a child, killed after so many seconds; say whether it came to its end."""
    child = os.fork()
    if not child:
        status = 1
        try:
            run(out)
            status = 0
        except BaseException:  # noqa: BLE001 - the parent is told by the exit status
            traceback.print_exc()
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status and not os.WIFSIGNALED(status):
        raise SystemExit(f"{out}: a run failed of itself")
    return status == 0


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, and an empty one for each folder."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        )
        for path in sorted(folder.rglob("*"))
    }


def main() -> None:
    """Kill one recipe as often as asked."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", choices=("pm", "sae", "biased"), required=True)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    run = prepare(arguments.folder)[arguments.recipe]
    if arguments.recipe == "sae":
        import sae_lens.training.sae_trainer  # noqa: F401 - imported once, not in every child

    place = arguments.folder / arguments.recipe
    place.mkdir()
    began = time.monotonic()
    assert forked(run, place / "out")
    whole = time.monotonic() - began
    expected = contents(place)
    kills = resumed = 0
    for turn in itertools.count():
        if kills >= arguments.kills:
            break
        shutil.rmtree(place)
        place.mkdir()
        for _ in range(rng.randint(1, min(4, arguments.kills - kills))):
            if not forked(run, place / "out", seconds=rng.uniform(0, 1.05) * whole):
                kills += 1
        resumed += any(".training" in name for name in contents(place))
        assert forked(run, place / "out")
        found = contents(place)
        if found != expected:
            differing = {name for name, _ in found.items() ^ expected.items()}
            raise SystemExit(f"turn {turn}, {kills} kills: {', '.join(sorted(differing))} differ")
    sys.stdout.write(
        f"{kills} kills, {turn} finished runs, {resumed} of them resumed, all the same bytes\n"
    )


if __name__ == "__main__":
    sys.exit(main())
