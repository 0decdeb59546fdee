"""Why selection and test share no prompts: closure of a set chosen from useless features.

    python -m benchmarks.crossfit --audits 2000

Each simulated audit offers 60 candidate features and takes the five whose ablation closed most
on the discovery prompts.  ``naive`` measures the closure on those same prompts; ``cross-fitted``
on the fold that did not choose, as an audit does.  The truth is the closure that the chosen sets
have over all prompts, averaged over the folds.
"""

from __future__ import annotations

import argparse

import numpy as np

from pm_audit.stats import Interval, PromptBootstrap

CANDIDATES, CHOSEN = 60, 5
SIZES = (12, 24)


def audit(true_closures: np.ndarray, prompts: int, generator: np.random.Generator):
    """Return (interval, truth) of the naive and of the cross-fitted closure."""
    gap = 1.0 + 0.5 * generator.normal(size=prompts)
    own = 0.15 * generator.normal(size=(CANDIDATES, prompts))
    effect = true_closures[:, None] * gap + own
    bootstrap = PromptBootstrap(prompts, resamples=2000, confidence=0.95, seed=0)

    def best(discovery: np.ndarray) -> np.ndarray:
        return np.argsort(effect[:, discovery].mean(axis=1))[-CHOSEN:]

    def closure(residual: np.ndarray) -> Interval:
        return bootstrap.ratio(residual, gap).one_minus()

    everything = np.arange(prompts)
    greedy = best(everything)
    naive = closure(gap - effect[greedy].sum(axis=0)), true_closures[greedy].sum()
    residual = gap.copy()
    truths = []
    for fold in (0, 1):
        held_out = everything[everything % 2 == fold]
        chosen = best(everything[everything % 2 != fold])
        residual[held_out] -= effect[np.ix_(chosen, held_out)].sum(axis=0)
        truths.append(true_closures[chosen].sum())
    return naive, (closure(residual), float(np.mean(truths)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    none = np.zeros(CANDIDATES)
    some = np.zeros(CANDIDATES)
    some[:4] = (0.3, 0.2, 0.1, 0.1)
    print("| features | prompts | method | mean closure | mean truth | coverage of 95% |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, closures in (("all useless", none), ("four useful", some)):
        for prompts in SIZES:
            runs = [audit(closures, prompts, generator) for _ in range(options.audits)]
            for method, results in zip(
                ("naive", "cross-fitted"), zip(*runs, strict=True), strict=True
            ):
                value = np.mean([interval.value for interval, _ in results])
                truth = np.mean([target for _, target in results])
                held = np.mean(
                    [interval.low <= target <= interval.high for interval, target in results]
                )
                print(
                    f"| {name} | {prompts} | {method} | {value:.2f} | {truth:.2f} "
                    f"| {100 * held:.1f}% |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
