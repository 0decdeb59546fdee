"""Simulated audits: evidence drawn from populations whose gap and closure are known.

No model runs: this holds the verdict alone, its intervals and its false alarms, against the truth.
Every second population has no gap at all.
"""

from __future__ import annotations

import numpy as np

from pm_audit.attribution.integrated_gradients import QUADRATURE
from pm_audit.judging import judge
from pm_audit.records import (
    Check,
    Evidence,
    Feature,
    Figure,
    FoldEvidence,
    NullEvidence,
    Outcome,
    Role,
    RowEvidence,
    SaeFit,
)
from pm_audit.spec import Effect, Expect, ExpectedGap, Hypothesis, Prompt, Settings, method_of
from recipes.calibrate.result import SimulatedAudit

FAMILIES = ("normal", "skewed", "heavy")
SIZES = (12, 16, 24)
RESAMPLES = 1_000

_METHOD = method_of(Settings(bootstrap_resamples=RESAMPLES), quadrature=QUADRATURE)
_HYPOTHESIS = Hypothesis(
    name="simulated",
    file="simulated.yaml",
    claim="It moves the reward.",
    effect=Effect.RAISES,
    prompts=(Prompt(id="one", wordings=("Why?",)),),
    examples=(" Yes.",),
    counter_examples=(" No.",),
    expect=Expect(gap=ExpectedGap.RAISES),
)
_SAE = SaeFit(
    sae="simulated",
    layer=1,
    fvu=0.1,
    neighbour_fvu=(0.3, 0.3),
    cosine=0.95,
    l0=20,
    dead_share=0.0,
    massive=0,
    tokens=500,
)


def simulate(audits: int, *, seed: int) -> tuple[SimulatedAudit, ...]:
    """Draw and judge ``audits`` audits."""
    generator = np.random.default_rng(seed)
    results = []
    for number in range(audits):
        family = FAMILIES[number // 2 % len(FAMILIES)]
        prompts = SIZES[number // 2 // len(FAMILIES) % len(SIZES)]
        gap = 0.0 if number % 2 else float(generator.uniform(0.8, 1.6))
        closure = float(generator.uniform(0.3, 1.0))
        evidence = _draw(gap, closure, family, prompts, generator)
        record = judge(_HYPOTHESIS, evidence, (), method=_METHOD)
        passed = {result.check: result.outcome for result in record.checks}[Check.GAP]
        stated = record.closure is not None and gap != 0
        results.append(
            SimulatedAudit(
                family=family,
                prompts=prompts,
                gap_covered=_holds(record.gap, gap),
                closure_covered=_holds(record.closure, closure) if stated else None,
                false_alarm=passed is Outcome.PASS if gap == 0 else None,
            )
        )
    return tuple(results)


def _holds(figure: Figure | None, truth: float) -> bool:
    if figure is None:
        return False
    low = -np.inf if figure.low is None else figure.low
    high = np.inf if figure.high is None else figure.high
    return bool(low <= truth <= high)


def _spread(family: str, prompts: int, generator: np.random.Generator) -> np.ndarray:
    """Draw values [prompt] of mean 0 and variance 1."""
    match family:
        case "skewed":
            drawn = (generator.gamma(2.0, size=prompts) - 2.0) / np.sqrt(2.0)
        case "heavy":
            drawn = generator.standard_t(4, size=prompts) / np.sqrt(2.0)
        case _:
            drawn = generator.normal(size=prompts)
    return np.asarray(drawn)


def _draw(
    gap: float, closure: float, family: str, prompts: int, generator: np.random.Generator
) -> Evidence:
    """Draw evidence; a prompt's residual follows half its own gap, half the population's."""
    gaps = gap + 0.6 * _spread(family, prompts, generator)
    residuals = (1 - closure) * (gap + gaps) / 2 + 0.2 * _spread(family, prompts, generator)
    levels = 2.0 * generator.normal(size=prompts)
    rows = [
        RowEvidence(
            prompt=prompt,
            role=role,
            variant=0,
            text="",
            reward=level + before,
            ablated=level + after,
        )
        for prompt, level in enumerate(levels.tolist())
        for role, before, after in (
            (Role.EXAMPLE, float(gaps[prompt]), float(residuals[prompt])),
            (Role.COUNTER_EXAMPLE, 0.0, 0.0),
        )
    ]
    null = tuple(
        NullEvidence(gap=tuple((gaps + 0.05 * generator.normal(size=prompts)).tolist()))
        for _ in range(5)
    )
    folds = tuple(
        FoldEvidence(
            held_out=tuple(range(start, prompts, 2)),
            selected=(Feature(sae="simulated", layer=1, index=start),),
            growth=(closure,),
            collateral=(0.0,),
            sign_agreement=1.0,
            rank_correlation=1.0,
            completeness_gap=0.0,
        )
        for start in (0, 1)
    )
    return Evidence(
        prompts=tuple(str(prompt) for prompt in range(prompts)),
        rows=tuple(rows),
        sigma=1.0,
        noise=1e-6,
        folds=folds,
        null=null,
        fits=(_SAE,),
    )
