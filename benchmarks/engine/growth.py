"""How cost grows with prompts, features, blocks and latent width.

    python -m benchmarks.engine.growth --json FILE --plots FOLDER

On the random PM, so that every axis can be doubled.  Fails where doubling the latent width (same
L0) costs more than 1.3 times, doubling the prompts more than 2.1 times, or where peak memory
grows with the latent width by more than the SAE's own weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
from pathlib import Path

import torch

from benchmarks.engine.measure import measure
from benchmarks.engine.packed import PackedContestant
from benchmarks.engine.workload import random_workload

AXES = {
    "prompts": (2, 4, 8),
    "features": (25, 50, 100, 200),
    "blocks": (6, 12, 18),
    "latent_width": (2048, 4096, 8192, 16384),
}
FEATURES = 50
MOST = {"latent_width": 1.3, "prompts": 2.1}
SLACK_MB = 48
"""Peak memory of one process differs by this much from run to run."""


def main() -> int:
    """Measure every axis, write figures and plots, and hold the bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, help="folder for one SVG an axis; needs matplotlib")
    parser.add_argument("--axis", choices=tuple(AXES), action="append", help="only these axes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    figures = {axis: _axis(axis) for axis in arguments.axis or AXES}
    for axis, points in figures.items():
        print(axis)
        for point in points:
            cells = [
                f"{job} {cell['cpu_s']:.2f} s {cell['peak_mb']:.0f} MB"
                for job, cell in point["jobs"].items()
            ]
            print(f"  {point['at']:6}  " + "   ".join(cells))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if arguments.plots:
        plot(figures, arguments.plots)
    broken = [problem for axis, points in figures.items() for problem in _broken(axis, points)]
    for problem in broken:
        print(problem, file=sys.stderr)
    return 1 if broken else 0


def _axis(axis: str) -> list[dict]:
    points = []
    for at in AXES[axis]:
        print(f"{axis} {at} ...", file=sys.stderr)
        sizes = {"prompts": "prompts", "blocks": "depth", "latent_width": "width"}
        work = random_workload(**({sizes[axis]: at} if axis in sizes else {}))
        contestant = PackedContestant(work)
        # Features are drawn evenly over the ranking, so that each point holds the same mixture.
        count = at if axis == "features" else FEATURES
        latents = work.latents[:: max(1, len(work.latents) // count)][:count]
        jobs = {
            "J1": contestant.rewards,
            "J2": contestant.attributions,
            "J3": lambda c=contestant, latents=latents: c.ablations(latents),
        }
        if axis == "features":
            jobs = {"J3": jobs["J3"]}
        cells = {}
        for job, call in jobs.items():
            measured = measure(call, repeats=1 if job == "J3" else 2)
            cells[job] = {"cpu_s": measured.cpu_s, "peak_mb": measured.peak_mb}
        points.append({"at": at, "jobs": cells, "sae_mb": work.sae.W_dec.numel() * 8 / 2**20})
    return points


def _broken(axis: str, points: list[dict]) -> list[str]:
    """Say which bars an axis breaks.  J3 is compared a job: wider SAEs fire on other rows."""
    problems = []
    for before, after in itertools.pairwise(points):
        if after["at"] != 2 * before["at"]:
            continue
        for job, cell in after["jobs"].items():
            ratio = cell["cpu_s"] / before["jobs"][job]["cpu_s"]
            most = MOST.get(axis)
            if most is not None and job != "J3" and ratio > most:
                problems.append(f"{job}: doubling {axis} to {after['at']} costs {ratio:.2f} times")
            grown = cell["peak_mb"] - before["jobs"][job]["peak_mb"]
            own = after["sae_mb"] - before["sae_mb"]
            if axis == "latent_width" and grown > own + SLACK_MB:
                problems.append(f"{job}: {grown:.0f} MB more at width {after['at']}")
    return problems


def plot(figures: dict, folder: Path) -> None:
    """Draw CPU seconds and peak memory against each axis."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for axis, points in figures.items():
        figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
        for panel, key, label in zip(
            panels, ("cpu_s", "peak_mb"), ("CPU seconds", "peak MB"), strict=True
        ):
            for job in points[0]["jobs"]:
                at = [point["at"] for point in points]
                panel.plot(at, [point["jobs"][job][key] for point in points], "o-", label=job)
            panel.set(xlabel=axis.replace("_", " "), ylabel=label, xscale="log", ylim=(0, None))
            panel.set_xticks(at, [str(one) for one in at])
            panel.minorticks_off()
        panels[0].legend()
        figure.savefig(folder / f"growth_{axis}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
