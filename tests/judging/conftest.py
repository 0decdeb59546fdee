"""Synthetic evidence: prompts whose true gap, closure and side effects are chosen."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pm_audit.records import (
    AlongsideEvidence,
    Evidence,
    Feature,
    FoldEvidence,
    MethodRecord,
    NullEvidence,
    Role,
    RowEvidence,
    SaeFit,
    StageEvidence,
    TransferEvidence,
)
from pm_audit.spec import Hypothesis, Settings, method_of

METHOD = method_of(Settings(seed=7), quadrature="midpoint")

FIT = SaeFit(
    sae="mid",
    layer=6,
    fvu=0.1,
    neighbour_fvu=(0.3, 0.4),
    cosine=0.95,
    l0=40.0,
    dead_share=0.1,
    massive=2,
    tokens=900,
)


def hypothesis_of(**expect: Any) -> Hypothesis:
    return Hypothesis(
        name="planted",
        file="hypotheses/planted.yaml",
        line=1,
        claim="It moves the reward.",
        effect="raises",
        prompts=({"id": "one", "wordings": ("Why?",)},),
        examples=(" Yes.",),
        counter_examples=(" No.",),
        tags=("planted",),
        expect={"gap": "raises", "margin": 0.1, **expect},
    )


def evidence_of(
    gaps: Sequence[float],
    *,
    closure: float = 0.8,
    closure_zero: float | None = None,
    closure_mean: float | None = None,
    counter_part: float = 0.0,
    control_moved: float = 0.0,
    null_closure: float = 0.02,
    jitter: float = 0.02,
    sigma: float = 1.0,
    noise: float = 1e-6,
    null_sets: int = 20,
    selected: bool = True,
    fit: SaeFit = FIT,
    seed: int = 0,
) -> Evidence:
    """Evidence whose prompts have the given gaps, explained up to jitter of the gap's size.

    Each prompt has two examples, two counter-examples and a control.  ``counter_part`` of the
    closure is made by moving the counter-examples towards the examples.
    """
    generator = np.random.default_rng(seed)
    others = {
        name: closure if other is None else other
        for name, other in (("zero", closure_zero), ("mean", closure_mean))
    }
    size = abs(float(np.mean(gaps)))

    def shaken(share: float, gap: float) -> float:
        return share * gap + jitter * size * float(generator.normal())

    rows = []
    rewards: dict[str, list[float]] = {name: [] for name in others}
    for prompt, gap in enumerate(gaps):
        base = 3.0 * float(generator.normal())
        counters_up = counter_part * gap
        examples_down = shaken(closure - counter_part, gap)
        down = {name: shaken(other - counter_part, gap) for name, other in others.items()}
        for role, variant, reward, moved in (
            (Role.EXAMPLE, 0, gap + 0.5, -examples_down),
            (Role.EXAMPLE, 1, gap - 0.5, -examples_down),
            (Role.COUNTER_EXAMPLE, 0, 0.25, counters_up),
            (Role.COUNTER_EXAMPLE, 1, -0.25, counters_up),
            (Role.CONTROL, 0, 0.0, control_moved * gap),
        ):
            rows.append(
                RowEvidence(
                    prompt=prompt,
                    role=role,
                    variant=variant,
                    text=f" completion {variant}",
                    reward=base + reward,
                    ablated=base + reward + moved,
                )
            )
            for name in others:
                change = -down[name] if role is Role.EXAMPLE else moved
                rewards[name].append(base + reward + change)
    feature = Feature(sae="mid", layer=6, index=812)
    count = len(gaps)
    halves = (tuple(range(0, count, 2)), tuple(range(1, count, 2)))
    folds = tuple(
        FoldEvidence(
            held_out=half,
            selected=(feature,) if selected else (),
            growth=(closure,) if selected else (),
            collateral=(abs(control_moved),) if selected else (),
            sign_agreement=0.9,
            rank_correlation=0.6,
            completeness_gap=0.01,
        )
        for half in halves
    )
    null = tuple(
        NullEvidence(gap=tuple(gap - shaken(null_closure, gap) for gap in gaps))
        for _ in range(null_sets)
    )
    return Evidence(
        prompts=tuple(f"prompt {prompt}" for prompt in range(count)),
        rows=tuple(rows),
        sigma=sigma,
        noise=noise,
        folds=folds,
        null=null,
        fits=(fit,),
        alongside=tuple(
            AlongsideEvidence(replacement=name, rewards=tuple(found))
            for name, found in rewards.items()
        ),
    )


def full_of(evidence: Evidence) -> Evidence:
    """Add stages and transfer: figures whose values are made up but hold together."""
    levels = {"selected": 0.3, "others": 0.6, "features": 0.1, "stream": 0.0, "error": 0.9}
    counters = evidence.means(Role.COUNTER_EXAMPLE, [row.reward for row in evidence.rows])
    whole = {
        stage: tuple(
            counters[row.prompt] + left * (row.reward - counters[row.prompt])
            if row.role is Role.EXAMPLE
            else row.reward
            for row in evidence.rows
        )
        for stage, left in levels.items()
    }
    transfer = []
    for phrasing in (0, 1):
        tested = [
            row for row in evidence.rows if (row.role, row.variant) == (Role.EXAMPLE, phrasing)
        ]
        transfer.append(
            TransferEvidence(
                phrasing=phrasing,
                prompts=tuple(row.prompt for row in tested),
                selected=evidence.folds[0].selected,
                gap=tuple(row.reward - counters[row.prompt] for row in tested),
                gap_after=tuple(
                    (0.3 + 0.1 * (row.prompt % 3)) * (row.reward - counters[row.prompt])
                    for row in tested
                ),
            )
        )
    return evidence.model_copy(
        update={
            "stages": (StageEvidence(sae=None, layer=None, **whole),),
            "transfer": tuple(transfer),
        }
    )


def apart_of(evidence: Evidence) -> Evidence:
    """Let each fold have found a feature of its own."""
    return evidence.model_copy(
        update={
            "folds": tuple(
                fold.model_copy(update={"selected": (Feature(sae="mid", layer=6, index=number),)})
                for number, fold in enumerate(evidence.folds)
            )
        }
    )


@pytest.fixture(scope="session")
def apart() -> Callable[[Evidence], Evidence]:
    return apart_of


@pytest.fixture(scope="session")
def full() -> Callable[[Evidence], Evidence]:
    return full_of


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., Evidence]:
    return evidence_of


@pytest.fixture(scope="session")
def make_hypothesis() -> Callable[..., Hypothesis]:
    return hypothesis_of


@pytest.fixture(scope="session")
def method() -> MethodRecord:
    return METHOD


@pytest.fixture(scope="session")
def good_fit() -> SaeFit:
    return FIT


@pytest.fixture(scope="session")
def gaps() -> tuple[float, ...]:
    """Sixteen prompts whose gap is about 1 and never the same."""
    return tuple(1.0 + 0.3 * float(np.sin(3.0 * step)) for step in range(16))
