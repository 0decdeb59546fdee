"""Run a fuzzer in full: each mutant must load, or be refused by the product's own errors.

python -m tests.fuzz saes 20000
python -m tests.fuzz pms 10000
"""

from __future__ import annotations

# ruff: noqa: T201 - a command prints what it found
import argparse
import os
import resource
import subprocess
import sys
import time

from tests.fuzz.run import run

CHUNK = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("saes", "pms"))
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="in this process, not in children")
    asked = parser.parse_args()
    if asked.here:
        outcome = run(asked.kind, asked.first, asked.count)
        for line in outcome.faults:
            print(line)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"DONE {outcome.loaded} {outcome.refused} {len(outcome.faults)} {outcome.slowest:.2f}"
            f" {memory}"
        )
        return int(bool(outcome.faults))
    totals, begun, crashed = [0, 0, 0], time.time(), 0
    slowest, memory = 0.0, 0
    for first in range(asked.first, asked.first + asked.count, CHUNK):
        count = min(CHUNK, asked.first + asked.count - first)
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", asked.kind, str(count)]
        done = subprocess.run(
            [*command, "--first", str(first), "--here"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        *faults, last = done.stdout.strip().splitlines() or [""]
        if not last.startswith("DONE "):
            crashed += 1
            print(f"the process died at {first} to {first + count}: {done.returncode}", flush=True)
            print(done.stderr[-2000:])
            continue
        loaded, refused, wrong, seconds, megabytes = last.split()[1:]
        totals = [a + int(b) for a, b in zip(totals, (loaded, refused, wrong), strict=True)]
        slowest, memory = max(slowest, float(seconds)), max(memory, int(megabytes))
        for fault in faults:
            print(fault, flush=True)
    print(
        f"{asked.kind}: {sum(totals)} mutants, {totals[0]} loaded, {totals[1]} refused, "
        f"{totals[2]} faults, {crashed} dead processes; slowest {slowest:.1f} s, "
        f"most memory {memory} MB, "
        f"{time.time() - begun:.0f} s"
    )
    return int(bool(totals[2] or crashed))


if __name__ == "__main__":
    sys.exit(main())
