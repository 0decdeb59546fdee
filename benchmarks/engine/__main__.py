"""The engine's benchmark.

    python -m benchmarks.engine --json FILE

Jobs: J1 rewards; J2 integrated gradients (4 steps) of every feature at every position; J3 single
ablation of the 300 features that fire on most completions; J4 single ablation of every feature
that fires; J5 one whole hypothesis.  Every job starts from tokens.  Contestants whose cost is one
forward a feature are timed on a part of the features and scaled to all (``measured_share`` says how
large the part was); ``--full`` times all 300.  Results must be equal, or the run fails.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from benchmarks.engine import lenses
from benchmarks.engine.floor import Floor, matrix_rate
from benchmarks.engine.hypothesis import PackedHypothesis, PlainHypothesis
from benchmarks.engine.lenses import LensContestant
from benchmarks.engine.measure import measure
from benchmarks.engine.packed import PackedContestant
from benchmarks.engine.plain import PlainContestant
from benchmarks.engine.workload import FEATURES, Workload, random_workload, trained_workload

MOST_DIFFERENCE = 1e-4
PLAIN_FEATURES = 20
JOBS = ("J1", "J2", "J3", "J4", "J5")


def main() -> int:
    """Run every job of every contestant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument(
        "--pm", default="default", help="default, random, or a folder of `pm-audit train pm`"
    )
    parser.add_argument("--full", action="store_true", help="time the others on all 300 features")
    parser.add_argument("--repeats", type=int, default=3, help="of J1 and J2; the least counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if arguments.pm == "random":
        work = random_workload()
    else:
        work = trained_workload(None if arguments.pm == "default" else Path(arguments.pm))
    report = run(work, repeats=arguments.repeats, others=FEATURES if arguments.full else None)
    print(render(report))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    worst = max(cell["max_abs_diff"] for job in JOBS for cell in report[job].values())
    if not worst <= MOST_DIFFERENCE:
        print(f"results differ by {worst:.2e}, more than {MOST_DIFFERENCE:.0e}", file=sys.stderr)
        return 1
    return 0


def run(work: Workload, *, repeats: int, others: int | None) -> dict:
    """Return ``{job: {contestant: figures}}`` with the floor and the workload's size."""
    latents = work.latents
    chosen = latents[:FEATURES]
    sample = chosen[:: max(1, len(chosen) // (others or PLAIN_FEATURES))]
    contestants = {"plain": PlainContestant(work), "pm_audit": PackedContestant(work)}
    missing = lenses.why_missing()
    if missing is None:
        contestants["sae_lens"] = LensContestant(work)
    hypotheses = {"plain": PlainHypothesis(work), "pm_audit": PackedHypothesis(work)}
    report: dict = {job: {} for job in JOBS}
    rate = matrix_rate()
    expected = {}
    for name, contestant in contestants.items():
        ours = name == "pm_audit"
        jobs = {
            "J1": (contestant.rewards, repeats, 1.0),
            "J2": (contestant.attributions, repeats, 1.0),
            "J3": (lambda c=contestant: c.ablations(chosen), 1, 1.0),
            "J4": (lambda c=contestant: c.ablations(latents), 1, 1.0),
        }
        if not ours:
            share = len(sample) / len(chosen)
            jobs["J3"] = (lambda c=contestant: c.ablations(sample), 1, share)
            del jobs["J4"]
        if name in hypotheses:
            jobs["J5"] = (hypotheses[name].hypothesis, 1, 1.0)
        for job, (call, times, share) in jobs.items():
            print(f"{job} {name} ...", file=sys.stderr)
            measured = measure(call, repeats=times)
            expected.setdefault(job, {})[name] = measured.result
            report[job][name] = {
                "cpu_s": measured.cpu_s / share,
                "wall_s": measured.wall_s / share,
                "peak_mb": measured.peak_mb,
                "measured_share": share,
            }
    for job, by_name in expected.items():
        reference = expected["J3" if job == "J4" else job]["plain"]
        for name, result in by_name.items():
            if job in ("J3", "J4") and name == "pm_audit":
                result = result[_places(sample, chosen if job == "J3" else latents)]
            report[job][name]["max_abs_diff"] = float(np.abs(result - reference).max())
    floor = Floor(work)
    adds = {
        "J1": floor.rewards(),
        "J2": floor.attributions(),
        "J3": floor.ablations(chosen),
        "J4": floor.ablations(latents),
    }
    report["floor"] = {job: count / rate for job, count in adds.items()}
    layout = work.grid.layout
    report["workload"] = {
        "pm": work.name,
        "rows": len(work.grid),
        "tokens": int(layout.length.sum()),
        "padded_tokens": int(len(work.grid) * layout.length.max()),
        "distinct_tokens": len(layout.token_ids),
        "completion_tokens": len(layout.completion_tokens),
        "active_latents": len(latents),
        "l0": len(work.clean.features[work.sae.name].token) / len(layout.completion_tokens),
        "latent_width": work.sae.width,
        "layer": work.sae.layer,
        "gflop_a_second": 2 * rate / 1e9,
        "rewards_sd": float(work.clean.rewards.std()),
        "without": {} if missing is None else {"sae_lens": missing},
    }
    return report


def _places(sample: np.ndarray, chosen: np.ndarray) -> list[int]:
    """Return where each sampled latent stands among the chosen ones."""
    where = {int(latent): number for number, latent in enumerate(chosen)}
    return [where[int(latent)] for latent in sample]


def render(report: dict) -> str:
    """Return the figures as a table, in units of one plain padded forward."""
    unit = report["J1"]["plain"]["cpu_s"]
    lines = [
        f"one plain padded forward (J1 plain): {unit:.3f} CPU s; "
        f"matrix rate {report['workload']['gflop_a_second']:.0f} GFLOP/s",
        f"{'job':4}{'contestant':12}{'units':>9}{'cpu s':>9}{'peak MB':>9}{'of rate':>9}"
        f"{'max diff':>10}",
    ]
    for job in JOBS:
        floor = report["floor"].get(job)
        for name, cell in report[job].items():
            part = "" if cell["measured_share"] == 1 else f"  ({cell['measured_share']:.0%} timed)"
            share = f"{floor / cell['cpu_s']:.0%}" if floor else ""
            lines.append(
                f"{job:4}{name:12}{cell['cpu_s'] / unit:9.2f}{cell['cpu_s']:9.2f}"
                f"{cell['peak_mb']:9.0f}{share:>9}{cell['max_abs_diff']:10.1e}{part}"
            )
        if floor:
            lines.append(f"{job:4}{'floor':12}{floor / unit:9.2f}{floor:9.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
