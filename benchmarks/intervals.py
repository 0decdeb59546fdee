"""Which interval holds up for ten to thirty prompts: four methods on means and on ratios.

    python -m benchmarks.intervals --repeats 4000

For each population, size and statistic: how often the truth lies below the interval, how often
above (2.5% each is nominal), and the median width relative to Student's t.  The last method,
the envelope of expanded BCa and Student's t, is the one that verdicts use.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.special import ndtri, stdtrit

from benchmarks.inference import ALPHA, EXTREME, FAMILIES, standard
from pm_audit.stats.bca import bca_limits

SIZES = (8, 12, 24)
CLOSED = 0.8
RESAMPLES = 2000
METHODS = ("plain BCa", "expanded BCa", "Student's t", "envelope")


def intervals(over: np.ndarray, under: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return each method's limits for mean(over) / mean(under): ``"method limit"``."""
    size = len(over)
    value = over.mean() / under.mean()
    resampled = (counts @ over) / (counts @ under)
    left_out = (over.sum() - over) / (under.sum() - under)
    score = stdtrit(size - 1, 1 - ALPHA / 2)
    reach = score * math.sqrt((size - 1) * np.var(left_out))
    plain = bca_limits(value, resampled, left_out, score=-ndtri(ALPHA / 2))
    wide = bca_limits(value, resampled, left_out, score=score * math.sqrt(size / (size - 1)))
    student = (value - reach, value + reach)
    envelope = (min(wide[0], student[0]), max(wide[1], student[1]))
    return np.array([plain, wide, student, envelope])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    print("| population | prompts | statistic |", " | ".join(METHODS), "|")
    print("| --- " * (3 + len(METHODS)) + "|")
    for size in SIZES:
        counts = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(float)
        for family in (*FAMILIES, *EXTREME):
            for statistic in ("mean", "ratio"):
                limits = []
                for _ in range(options.repeats):
                    if statistic == "mean":
                        under, truth = np.ones(size), 0.0
                        over = standard(family, (size,), generator)
                    else:
                        under = 1.2 + 0.6 * standard(family, (size,), generator)
                        over = CLOSED * under + 0.25 * standard(family, (size,), generator)
                        truth = CLOSED
                    limits.append(intervals(over, under, counts))
                low, high = np.array(limits).transpose(2, 1, 0)
                width = np.median(high - low, axis=1)
                cells = (
                    f"{100 * np.mean(low[m] > truth):.1f} / {100 * np.mean(high[m] < truth):.1f}"
                    f" x{width[m] / width[2]:.2f}"
                    for m in range(len(METHODS))
                )
                print(f"| {family} | {size} | {statistic} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
