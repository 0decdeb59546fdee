"""Why selection and test share no prompts: closure of a set chosen from useless features.

    python -m benchmarks.crossfit --audits 2000

Each simulated audit offers 60 candidate features and takes the five whose ablation closed most
on the discovery prompts.  ``naive`` measures the closure on those same prompts; ``cross-fitted``
on the fold that did not choose, as an audit does, with and without the widening for folds that
differ.  Coverage is of the closure that the chosen sets have over all prompts, averaged over the
folds, and of that closure's mean over many searches.
"""

from __future__ import annotations

import argparse

import numpy as np

from pm_audit.stats import Interval, PromptBootstrap, widening

CANDIDATES, CHOSEN = 60, 5
SIZES = (12, 24)


def useful(*closures: float) -> np.ndarray:
    """Return the closure that each candidate has by itself over all prompts."""
    return np.array([*closures, *[0.0] * (CANDIDATES - len(closures))])


POPULATIONS = {
    "all useless": (useful(), 0.15),
    "four useful": (useful(0.3, 0.2, 0.1, 0.1), 0.15),
    "eight alike": (useful(*[0.18] * 8), 0.4),
}
"""True closures, and the standard deviation over prompts of what a feature does to one alone."""


def audit(
    true_closures: np.ndarray, own_spread: float, prompts: int, generator: np.random.Generator
) -> dict[str, tuple[Interval, float]]:
    """Return interval and truth of the closure by each method."""
    gap = 1.0 + 0.5 * generator.normal(size=prompts)
    own = own_spread * generator.normal(size=(CANDIDATES, prompts))
    effect = true_closures[:, None] * gap + own
    bootstrap = PromptBootstrap(prompts, resamples=2000, confidence=0.95, seed=0)

    def best(discovery: np.ndarray) -> np.ndarray:
        return np.argsort(effect[:, discovery].mean(axis=1))[-CHOSEN:]

    def closure(residual: np.ndarray) -> Interval:
        return bootstrap.ratio(residual, gap).one_minus()

    everything = np.arange(prompts)
    greedy = best(everything)
    residual = gap.copy()
    truths, sets = [], []
    for fold in (0, 1):
        held_out = everything[everything % 2 == fold]
        chosen = best(everything[everything % 2 != fold])
        residual[held_out] -= effect[np.ix_(chosen, held_out)].sum(axis=0)
        truths.append(true_closures[chosen].sum())
        sets.append(set(chosen))
    found, truth = closure(residual), float(np.mean(truths))
    influence = ((1 - found.value) * gap - residual) / gap.mean()
    tested = everything % 2 * (sets[0] != sets[1])
    return {
        "naive": (closure(gap - effect[greedy].sum(axis=0)), true_closures[greedy].sum()),
        "cross-fitted": (found, truth),
        "widened": (found.widened(widening(influence, tested)), truth),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    print("| features | prompts | method | mean closure | mean truth | covers sets | searches |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (closures, own_spread) in POPULATIONS.items():
        for prompts in SIZES:
            runs = [audit(closures, own_spread, prompts, generator) for _ in range(options.audits)]
            for method in runs[0]:
                results = [run[method] for run in runs]
                value = np.mean([interval.value for interval, _ in results])
                truth = float(np.mean([target for _, target in results]))
                sets, searches = (
                    100
                    * np.mean(
                        [interval.low <= target <= interval.high for interval, target in pairs]
                    )
                    for pairs in (results, [(interval, truth) for interval, _ in results])
                )
                print(
                    f"| {name} | {prompts} | {method} | {value:.2f} | {truth:.2f} "
                    f"| {sets:.1f}% | {searches:.1f}% |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
