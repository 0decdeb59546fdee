"""What an audit costs, next to one plain forward of the same texts.

    python -m benchmarks.audit                        # the shipped hypotheses on the default PM
    python -m benchmarks.audit hypotheses/urls.yaml   # or some of them

Two processes are measured one after the other.  The first is the command itself, `pytest
--pm-audit`, from its start to its end, with the base in the cache already.  The second reads every
text of that audit once, as users of transformers would: padded batches of 32 in the texts' order,
one forward, the reward at the last token; only the forwards are counted.  It must give the rewards
of the audit's record, or the run fails.

CPU seconds of one thread each, so that a busy machine changes them little; wall seconds say what
the machine was able to give.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 32
BAR = 120
"""Plain forwards that a warm audit of the shipped hypotheses may cost."""

TOLERANCE = 1e-4


def audit(paths: list[str], record: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run the audit in a process of its own; return what it cost."""
    command = [sys.executable, "-m", "pytest", "--pm-audit", "-q", "-p", "no:cacheprovider"]
    run, cost = _measured([*command, f"--pm-audit-record={record}", *paths], environment)
    if run.returncode not in (0, 1) or not record.is_file():
        raise SystemExit(f"the audit failed:\n{run.stdout}{run.stderr}")
    return cost


def _measured(
    command: list[str], environment: dict[str, str]
) -> tuple[subprocess.CompletedProcess[str], dict[str, float]]:
    """Run a command whose memory is counted by a process that starts nothing else."""
    code = (
        "import json, resource, subprocess, sys, time\n"
        "start = time.monotonic()\n"
        "run = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([run.returncode, run.stdout, run.stderr, used.ru_utime + used.ru_stime,"
        " time.monotonic() - start, used.ru_maxrss / 1024]))\n"
    )
    watcher = [sys.executable, "-c", code, *command]
    watched = subprocess.run(watcher, capture_output=True, text=True, check=True, env=environment)
    status, out, err, cpu, wall, memory = json.loads(watched.stdout)
    run = subprocess.CompletedProcess(command, status, out, err)
    return run, {"cpu_s": cpu, "wall_s": wall, "peak_mb": memory}


def plain(record: Path) -> dict[str, float]:
    """Read the texts of a record once in padded batches; return what the forwards cost."""
    import torch

    from pm_audit.loading.default import pm as default
    from pm_audit.records import AuditRecord
    from pm_audit.spec import draw_prompts, expand, load_hypotheses

    stored = AuditRecord.read(record)
    backbone, head, tokenizer = default.load_adapted()
    format_ = default.load_pm().text_format
    root = Path.cwd()
    written = {
        one.full_name: one
        for one in load_hypotheses([root / entry.file for entry in stored.manifest], root)
    }
    cpu = wall = texts = worst = 0.0
    for judged in stored.hypotheses:
        hypothesis = written[judged.name]
        method = stored.method
        cases = expand(draw_prompts(hypothesis, most=method.prompts, seed=method.seed))
        rows = [format_.tokenise(case.turns, case.text).token_ids for case in cases]
        rewards = []
        cpu_start, wall_start = time.process_time(), time.monotonic()
        for first in range(0, len(rows), BATCH):
            batch = rows[first : first + BATCH]
            ids = torch.full((len(batch), max(map(len, batch))), tokenizer.eos_token_id)
            mask = torch.zeros_like(ids)
            for at, row in enumerate(batch):
                ids[at, : len(row)], mask[at, : len(row)] = torch.tensor(row), 1
            with torch.no_grad():
                hidden = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
                last = hidden[torch.arange(len(batch)), mask.sum(1) - 1]
                rewards += (last @ head.T)[:, 0].tolist()
        cpu += time.process_time() - cpu_start
        wall += time.monotonic() - wall_start
        texts += len(rows)
        for row, case, reward in zip(judged.evidence.rows, cases, rewards, strict=True):
            if row.text != case.text:
                raise SystemExit(f"{judged.name}: the record holds other texts than the file")
            worst = max(worst, abs(row.reward - reward))
    if worst > TOLERANCE:
        raise SystemExit(f"plain rewards differ from the record's by {worst:.2g}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_s": cpu, "wall_s": wall, "peak_mb": peak, "texts": texts, "worst": worst}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", help="hypotheses (default: all shipped)")
    parser.add_argument("--threads", type=int, default=1, help="of both processes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        print(json.dumps(plain(arguments.plain)))
        return
    threads = {name: str(arguments.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **threads}
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        whole = audit(arguments.paths, record, environment)
        again = [sys.executable, "-m", "benchmarks.audit", "--plain", str(record)]
        run = subprocess.run(again, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(run.stderr)
        once = json.loads(run.stdout)
    ratio = whole["cpu_s"] / once["cpu_s"]
    print(f"{'':24}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}")
    for name, cost in (("audit, start to end", whole), ("plain forward", once)):
        print(f"{name:24}{cost['cpu_s']:9.1f}{cost['wall_s']:9.1f}{cost['peak_mb']:9.0f}")
    print(
        f"{once['texts']:.0f} texts; the audit costs {ratio:.0f} plain forwards (bar: {BAR}); "
        f"rewards differ by at most {once['worst']:.1e}"
    )
    if arguments.json:
        figures = {"audit": whole, "plain": once, "ratio": ratio, "threads": arguments.threads}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if not arguments.paths and ratio > BAR:
        sys.exit(1)


if __name__ == "__main__":
    main()
