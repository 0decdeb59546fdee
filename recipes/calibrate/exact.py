"""Planted sets: whether a search finds exactly what was planted, and closes all of the gap.

The two sides of each hypothesis differ in planted latents alone, so the truth is known: the set is
the planted one, and its closure is 1.  One family shows what a search cannot find: two features of
which each is sufficient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pm_audit.pipelines.audit import Auditor, Subject
from pm_audit.records import Check, Figure, HypothesisRecord
from pm_audit.spec import Effect, Hypothesis, SetSearch, Settings
from pm_audit.subject.sae import Sae
from recipes.calibrate.result import ExactAudit
from recipes.planted.hypothesis import ANAGRAMS, letters_hypothesis, marks_hypothesis
from recipes.planted.linear import MARKS, NEUTRAL, Planted, plant
from recipes.planted.micro import LETTERS, micro

SETTINGS = Settings(candidates=16, null_sets=5, bootstrap_resamples=500)

PROMPTS = 6


@dataclass(frozen=True, slots=True)
class Planting:
    """A constructed PM, a hypothesis about it, and the features that carry its gap."""

    subject: Subject
    hypothesis: Hypothesis
    wanted: frozenset[str]


def audit_exact(*, seed: int) -> tuple[ExactAudit, ...]:
    """Plant one model of each family, and search it for its set by growth and by a mask."""
    audits = []
    for number, (family, build) in enumerate(FAMILIES.items()):
        planting = build(np.random.default_rng((seed, number)), seed)
        for search in SetSearch:
            settings = SETTINGS.model_copy(update={"set_search": search})
            record = Auditor(settings, subject=planting.subject).audit(planting.hypothesis)
            audits.append(_outcome(family, seed, search, planting.wanted, record))
    return tuple(audits)


def _outcome(
    family: str, seed: int, search: SetSearch, wanted: frozenset[str], record: HypothesisRecord
) -> ExactAudit:
    sets = [frozenset(map(str, fold.selected)) for fold in record.evidence.folds]
    return ExactAudit(
        family=family,
        model=seed,
        search=search,
        found=bool(sets) and all(chosen == wanted for chosen in sets),
        closure=_value(record.closure),
        sufficiency=_value(record.sufficiency),
        transfer=_value(record.transfer_closure),
        explained={one.check: one.outcome for one in record.checks}[Check.EXPLAINED],
    )


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def _marks(
    generator: np.random.Generator, seed: int, *, signs: tuple[float, ...]
) -> tuple[Planted, list[str]]:
    """Return a model whose marks all weigh something, and one of them for each sign."""
    marks = generator.permutation(list(MARKS)).tolist()
    weights = generator.uniform(0.5, 2.0, len(marks)) * generator.choice([-1, 1], len(marks))
    weights[: len(signs)] = np.abs(weights[: len(signs)]) * signs
    return plant(dict(zip(marks, weights.tolist(), strict=True)), seed=seed), marks[: len(signs)]


def _planting(
    model: Planted,
    saes: tuple[Sae, ...],
    marks: list[str],
    closing: str,
    others: str | None = None,
    *,
    effect: Effect = Effect.RAISES,
) -> Planting:
    """Return the claim about answers that end in marks, whose latents the SAEs have in turn."""
    return Planting(
        (model.pm, saes),
        marks_hypothesis(
            closing, effect=effect, prompts=PROMPTS, counter_marks=others, answers=ANAGRAMS
        ),
        frozenset(
            f"{saes[number % len(saes)].name}/{model.latent_of[mark]}"
            for number, mark in enumerate(marks)
        ),
    )


def _one_side(generator: np.random.Generator, seed: int) -> Planting:
    count = int(generator.integers(1, 5))
    model, marks = _marks(generator, seed, signs=(1.0,) * count)
    return _planting(model, (model.sae,), marks, "".join(marks))


def _both_sides(generator: np.random.Generator, seed: int) -> Planting:
    """Plant marks that examples hold two to four times, counter-examples once."""
    model, marks = _marks(generator, seed, signs=(-1.0, -1.0))
    closing = "".join(mark * int(generator.integers(2, 5)) for mark in marks)
    others = "".join(marks).ljust(len(closing), NEUTRAL)
    return _planting(model, (model.sae,), marks, closing, others, effect=Effect.LOWERS)


def _two_saes(generator: np.random.Generator, seed: int) -> Planting:
    """Plant marks of which each of two SAEs has every second."""
    model, marks = _marks(generator, seed, signs=(1.0, 1.0, 1.0, 1.0))
    saes = tuple(
        model.blind(marks[1 - turn :: 2], name=name) for turn, name in enumerate(("one", "two"))
    )
    return _planting(model, saes, marks, "".join(marks))


def _interacting(generator: np.random.Generator, seed: int) -> Planting:  # noqa: ARG001 - one of FAMILIES
    return _letters(generator, cap=float(generator.uniform(1.2, 1.8)))


def _redundant(generator: np.random.Generator, seed: int) -> Planting:  # noqa: ARG001 - one of FAMILIES
    return _letters(generator, cap=1.0)


def _letters(generator: np.random.Generator, *, cap: float) -> Planting:
    model = micro(cap=cap)
    wanted = frozenset(f"{model.sae.name}/{model.latent_of[letter]}" for letter in LETTERS[:2])
    return Planting(
        (model.pm, (model.sae,)), letters_hypothesis(generator, prompts=PROMPTS), wanted
    )


def _opposed(generator: np.random.Generator, seed: int) -> Planting:
    """Plant a third mark that works against the other two."""
    model, marks = _marks(generator, seed, signs=(1.0, 1.0, -0.5))
    return _planting(model, (model.sae,), marks, "".join(marks))


FAMILIES: Mapping[str, Callable[[np.random.Generator, int], Planting]] = {
    "marks in the examples alone": _one_side,
    "marks on both sides, more in the examples": _both_sides,
    "marks of which each of two SAEs sees half": _two_saes,
    "two letters that interact": _interacting,
    "two letters of which one is sufficient": _redundant,
    "a mark against two others": _opposed,
}
