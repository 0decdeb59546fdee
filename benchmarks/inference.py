"""Calibration of the verdicts: coverage of the intervals, and false PASS at every boundary.

Each simulated audit draws prompts from a population whose gap, closure and side effects are
known, builds the evidence as an audit would, and judges it.  Run from the repository root:

    python -m benchmarks.inference --audits 1000 --cases 10000 --json inference.json

Coverage: share of 95% intervals that hold the population's value.  Boundary: the population
stands exactly on a threshold, where PASS is an error; the exact (Clopper-Pearson) interval of
its rate must stay at or below alpha.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from pm_audit.judging import judge
from pm_audit.records import (
    AlongsideEvidence,
    Evidence,
    Feature,
    FoldEvidence,
    NullEvidence,
    Role,
    RowEvidence,
    SaeFit,
)
from pm_audit.spec import Hypothesis, Settings, method_of

SIZES = (12, 16, 24, 32)
FAMILIES = ("normal", "gamma", "gamma_left", "heavy", "mixture")
EXTREME = ("exponential", "exponential_left")
ALPHA = 0.05

METHOD = method_of(Settings(confidence=1 - ALPHA), quadrature="midpoint")
FIT = SaeFit(
    sae="mid",
    layer=6,
    fvu=0.1,
    neighbour_fvu=(0.3,),
    cosine=0.95,
    l0=40,
    dead_share=0.1,
    massive=0,
    tokens=900,
)
SETS = tuple((Feature(sae="mid", layer=6, index=index),) for index in (812, 813))


@dataclass(frozen=True)
class Population:
    """What is true of the prompts that a simulated audit draws."""

    gap: float = 1.0
    spread: float = 0.7
    """Standard deviation of the gap over prompts."""
    closure: float = 0.7
    dependence: float = 0.5
    """How much of a prompt's residual follows its own gap rather than the mean gap."""
    closure_spread: float = 0.2
    search_spread: float = 0.0
    """Standard deviation of the closure over searches: each fold's set has its own."""
    sets: int = 2
    """Distinct sets that the two folds find."""
    null_closure: float = 0.02
    null_spread: float = 0.05
    collateral: float = 0.05
    """Mean movement of the control as a share of the gap."""
    collateral_spread: float = 0.15


def standard(family: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Draw values of mean 0 and variance 1."""
    sign = -1.0 if family.endswith("_left") else 1.0
    match family.removesuffix("_left"):
        case "normal":
            drawn = generator.normal(size=shape)
        case "gamma":
            drawn = (generator.gamma(2.0, size=shape) - 2.0) / np.sqrt(2.0)
        case "exponential":
            drawn = generator.exponential(size=shape) - 1.0
        case "heavy":
            drawn = generator.standard_t(4, size=shape) / np.sqrt(2.0)
        case "mixture":
            # One prompt in five shows the effect about four times as strongly as the others.
            heavy = generator.random(size=shape) < 0.2
            drawn = (heavy - 0.2) * 2.3 + 0.4 * generator.normal(size=shape)
            drawn /= np.sqrt(2.3**2 * 0.16 + 0.16)
        case other:
            raise ValueError(other)
    return sign * drawn


def draw(truth: Population, family: str, prompts: int, generator: np.random.Generator) -> Evidence:
    """Draw one audit's evidence from the population."""

    def values() -> np.ndarray:
        return standard(family, (prompts,), generator)

    gap = truth.gap + truth.spread * values()
    base = truth.gap + truth.dependence * (gap - truth.gap)
    fold = np.arange(prompts) % 2
    found = truth.closure + truth.search_spread * generator.normal(size=2)
    after = (1 - found[fold]) * base + truth.closure_spread * truth.gap * values()
    control = truth.gap * (truth.collateral + truth.collateral_spread * values())
    null = tuple(
        NullEvidence(
            gap=tuple(
                (1 - truth.null_closure) * gap
                + truth.null_spread * truth.gap * generator.normal(size=prompts)
            )
        )
        for _ in range(METHOD.null_sets)
    )
    rows = []
    for prompt in range(prompts):
        level = 2.0 * generator.normal()
        wobble = 0.3 * generator.normal()
        for role, variant, reward, ablated in (
            (Role.EXAMPLE, 0, gap[prompt] + wobble, after[prompt]),
            (Role.EXAMPLE, 1, gap[prompt] - wobble, after[prompt]),
            (Role.COUNTER_EXAMPLE, 0, 0.0, 0.0),
            (Role.CONTROL, 0, 0.1, 0.1 + control[prompt]),
        ):
            rows.append(
                RowEvidence(
                    prompt=prompt,
                    role=role,
                    variant=variant,
                    text="",
                    reward=level + reward,
                    ablated=level + ablated,
                )
            )
    folds = tuple(
        FoldEvidence(
            held_out=tuple(range(start, prompts, 2)),
            selected=SETS[start % truth.sets],
            growth=(truth.closure,),
            collateral=(truth.collateral,),
            sign_agreement=1.0,
            rank_correlation=1.0,
            completeness_gap=0.0,
        )
        for start in (0, 1)
    )
    return Evidence(
        prompts=tuple(map(str, range(prompts))),
        rows=tuple(rows),
        sigma=1.0,
        noise=1e-6,
        folds=folds,
        null=null,
        fits=(FIT,),
        alongside=tuple(
            AlongsideEvidence(replacement=name, rewards=tuple(row.ablated for row in rows))
            for name in ("zero", "mean")
        ),
    )


def hypothesis(**expect: Any) -> Hypothesis:
    return Hypothesis(
        name="simulated",
        file="simulated.yaml",
        line=1,
        claim="It moves the reward.",
        effect="raises",
        prompts=({"id": "one", "wordings": ("Why?",)},),
        examples=(" Yes.",),
        counter_examples=(" No.",),
        expect={"gap": "raises", "closure": 0.6, "margin": 0.2, **expect},
    )


def share(count: int, total: int) -> dict[str, float]:
    interval = binomtest(count, total).proportion_ci(0.95, method="exact")
    return {"count": count, "of": total, "low": interval.low, "high": interval.high}


def coverage(audits: int, families: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Count how often each 95% interval holds the population's value."""
    generator = np.random.default_rng(seed)
    held: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for audit in range(audits):
        family = families[audit % len(families)]
        prompts = SIZES[(audit // len(families)) % len(SIZES)]
        truth = Population(
            gap=generator.uniform(0.7, 1.5),
            closure=generator.uniform(0.3, 1.0),
            dependence=generator.uniform(0.0, 1.0),
            sets=1 + audit // (len(families) * len(SIZES)) % 2,
        )
        evidence = draw(truth, family, prompts, generator)
        record = judge(hypothesis(), evidence, (), method=METHOD)
        pairs = {
            "gap": (record.gap, truth.gap),
            "closure": (record.closure, truth.closure),
            "residual": (record.residual, truth.gap * (1 - truth.closure)),
            "collateral": (record.collateral, truth.collateral),
        }
        for name, (figure, value) in pairs.items():
            if figure is None:
                continue
            low = -np.inf if figure.low is None else figure.low
            high = np.inf if figure.high is None else figure.high
            for key in (family, f"{prompts} prompts", f"{truth.sets} sets", "all"):
                held[name, key][bool(low <= value <= high)] += 1
    result: dict[str, Any] = defaultdict(dict)
    for (name, key), counts in sorted(held.items()):
        result[name][key] = share(counts[True], counts.total())
    return dict(result)


ON_THE_EDGE = Population(gap=1.2, spread=0.6, closure=0.6, dependence=0.5)

BOUNDARIES: dict[str, tuple[str, Population, dict[str, Any]]] = {
    "gap raises, truth 0": ("gap", replace(ON_THE_EDGE, gap=0.0), {"gap": "raises"}),
    "gap none, truth at margin": (
        "gap",
        replace(ON_THE_EDGE, gap=0.2, spread=0.2),
        {"gap": "none"},
    ),
    "closure at the asked": ("explained", ON_THE_EDGE, {"closure": 0.6}),
    "closure at the asked, one set": ("explained", replace(ON_THE_EDGE, sets=1), {"closure": 0.6}),
    "closure at the asked, weak gap": (
        "explained",
        replace(ON_THE_EDGE, gap=0.4, spread=0.7),
        {"closure": 0.6},
    ),
    "closure at the asked, searches differ": (
        "explained",
        replace(ON_THE_EDGE, search_spread=0.1),
        {"closure": 0.6},
    ),
    "closure at the overshoot allowed": (
        "explained",
        replace(ON_THE_EDGE, closure=1.2),
        {"closure": 0.8},
    ),
    "closure equal to the null": (
        "explained",
        replace(
            ON_THE_EDGE,
            closure=0.6,
            dependence=1.0,
            closure_spread=0.05,
            null_closure=0.6,
        ),
        {"closure": 0.4},
    ),
    "collateral at the limit": (
        "specific",
        replace(ON_THE_EDGE, collateral=0.25),
        {"collateral": 0.25},
    ),
}


def boundary(
    name: str, cases: int, families: tuple[str, ...], seed: int
) -> dict[str, dict[str, float]]:
    """Count false PASS where the population stands on the threshold."""
    check, truth, expect = BOUNDARIES[name]
    generator = np.random.default_rng(seed)
    asked = hypothesis(**expect)
    passed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for case in range(cases):
        family = families[case % len(families)]
        prompts = SIZES[(case // len(families)) % len(SIZES)]
        record = judge(asked, draw(truth, family, prompts, generator), (), method=METHOD)
        outcome = next(result.outcome for result in record.checks if result.check == check)
        for key in (family, f"{prompts} prompts", "all"):
            tried[key] += 1
            passed[key] += outcome == "pass"
    return {key: share(passed[key], tried[key]) for key in sorted(tried)}


def line(title: str, rate: dict[str, float]) -> str:
    percent = 100 * rate["count"] / rate["of"]
    return (
        f"{title:<44} {percent:6.2f}%   [{100 * rate['low']:5.2f}, {100 * rate['high']:5.2f}]"
        f"   {rate['count']} of {rate['of']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=1000)
    parser.add_argument("--cases", type=int, default=10_000, help="boundary cases of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.process_time()
    results: dict[str, Any] = {}
    for title, families in (("", FAMILIES), (" (extreme skew)", EXTREME)):
        results[f"coverage{title}"] = covered = coverage(options.audits, families, options.seed)
        for name, rates in covered.items():
            for key, rate in rates.items():
                print(line(f"coverage{title}: {name}, {key}", rate), flush=True)
    for title, families in (("", FAMILIES), (" (extreme skew)", EXTREME)):
        for name in BOUNDARIES:
            rates = boundary(name, options.cases, families, options.seed + 1)
            results[f"false pass{title}: {name}"] = rates
            for key, rate in rates.items():
                print(line(f"false pass{title}: {name}, {key}", rate), flush=True)
    print(f"{time.process_time() - started:.0f} CPU seconds")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
