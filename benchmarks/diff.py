"""Does a diff name what was planted between two PMs, and nothing between two copies?

Twelve variants of the default PM have one planted bias each (`pm-audit train biased FOLDER --only
BIAS`).  Each is compared with the default PM on pairs of different answers that hold all twelve
edits among others (``recipes/biased/preferences.py``).

* A group is *the planted change* if it is real for the bias as in ``benchmarks.scan``: the edit
  switches one of its features, and putting the group at the values of answers without the edit
  closes at least a tenth of the gap that was planted.  Of the other eleven biases no group should
  be among those reported; a group that the edit shares with another (both end a sentence) is real
  for the one that was planted.
* The bar: the first-ranked group is the planted change in 10 of 12 variants.
* Two copies of one PM are compared on a hundred seeds of sample and pairs; nothing may be reported
  in 95.

    python -m benchmarks.diff FOLDER --json FILE

FOLDER holds the variants by the names of their biases; those that are missing are trained.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pm_audit
from benchmarks.scan import matched, closures, CLOSED
from pm_audit.data import read_rows
from pm_audit.loading.default.pm import default_saes, load_pm
from pm_audit.loading.saes.registry import load as load_sae
from recipes.biased.biases import PLANTED
from recipes.biased.preferences import ordinary_pairs
from recipes.biased.train import BiasRecipe, train_biased

SETTINGS = {"sample": 160, "candidates": 48, "ablated": 24, "held_out": 0.0}
PAIRS = 320
COPIES, SMALL = 100, {"sample": 24, "candidates": 8, "ablated": 8, "held_out": 0.0}


def variant(folder: Path, bias: str, steps: int) -> Path:
    """Return the folder of a variant, trained if it is not there."""
    place = folder / bias
    place.mkdir(parents=True, exist_ok=True)
    train_biased(place, BiasRecipe(only=bias, steps=steps), report=lambda text: print(bias, text, flush=True))
    return place


def compared(bias, folder, steps, cache):
    """Return what a diff of one variant found."""
    began = time.process_time()
    place = variant(folder, bias.name, steps)
    trained = time.process_time() - began
    old, new = load_pm(), load_pm(place)
    sae = load_sae(default_saes()[-1])
    data = read_rows([pair.row for pair in ordinary_pairs(PAIRS)])
    began = time.process_time()
    record = pm_audit.diff(old, new, data, sae, cache=cache, **SETTINGS)
    spent = time.process_time() - began
    sets = [[record.features[at].index for at in one.features] for one in record.groups]
    experiment = matched(new, sae, bias.name)
    closed, switched = closures(experiment, sae, sets)
    gap = experiment.gap(range(experiment.contrast.prompts)) / record.new_sigma
    real = (closed >= CLOSED / max(1.0, abs(gap))) & switched
    label = record.features[record.groups[0].features[0]].label
    return {
        "bias": bias.name,
        "planted": bias.strength,
        "gap": round(float(gap), 3),
        "changed": record.changed,
        "first_real": bool(real[0]),
        "first_sign": bool((record.groups[0].effect.value > 0) == (bias.strength > 0)),
        "first_closes": round(float(closed[0]), 3),
        "first": label.text if label else None,
        "rank": next((at + 1 for at, one in enumerate(real.tolist()) if one), None),
        "reported_real": int(real[: record.changed].sum()),
        "train_cpu_seconds": round(trained),
        "diff_cpu_seconds": round(spent),
    }


def copies(cache):
    """Return in how many of a hundred comparisons of two copies something was reported."""
    sae = load_sae(default_saes()[-1])
    old, new = load_pm(), load_pm()
    found = 0
    for seed in range(COPIES):
        data = read_rows([pair.row for pair in ordinary_pairs(30, seed=1000 + seed)])
        record = pm_audit.diff(old, new, data, sae, cache=cache, seed=seed, **SMALL)
        found += record.changed > 0
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=[bias.name for bias in PLANTED])
    parser.add_argument("--steps", type=int, default=160, help="training steps of each variant")
    parser.add_argument("--copies", action="store_true")
    given = parser.parse_args()
    cache = given.folder / "cache"
    found = []
    for bias in PLANTED:
        if bias.name not in given.only:
            continue
        found.append(compared(bias, given.folder, given.steps, cache))
        print(json.dumps(found[-1]), flush=True)
    result = {
        "variants": found,
        "first": sum(one["first_real"] and one["first_sign"] for one in found),
        "reported_in_copies": copies(cache) if given.copies else None,
    }
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if result["first"] < 10 and len(found) == len(PLANTED):
        raise SystemExit(f"missed: the planted change comes first in {result['first']} of 12")
    if (result["reported_in_copies"] or 0) > 5:
        raise SystemExit(f"missed: {result['reported_in_copies']} of {COPIES} copies differ")


if __name__ == "__main__":
    main()
