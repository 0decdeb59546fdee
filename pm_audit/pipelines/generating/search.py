"""Search: `hypothesis` draws edits, one forward reads them all, and a failure is shrunk.

The same seed draws the same edits twice.  The first time they are only collected, and read
together.  The second time each is known, so that `hypothesis` gets from its first failure to the
simplest one it finds with no forwards but those of simpler edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from hypothesis import Phase, Verbosity, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from pm_audit.strategies import Insert, Program

MOST_STEPS = 24
"""Programs that are tried to find a simpler one."""


class Claim(Protocol):
    """Says how far programs break the claim; measures each once."""

    def measure(self, programs: Iterable[Program]) -> None:
        """Measure programs together."""

    def excess(self, program: Program) -> float:
        """Return how far a program breaks the claim; it does not if this is not positive."""


@dataclass(frozen=True)
class Shrunk:
    """The simplest failure that was found."""

    program: Program
    steps: int
    """Programs that were tried on the way and had not been drawn."""


def draw(programs: SearchStrategy[Program], count: int, *, seed: int) -> tuple[Program, ...]:
    """Return what a strategy draws with a seed, in order; fewer if it has no more."""
    drawn: list[Program] = []

    def collect(program: Program) -> bool:
        drawn.append(program)
        return False

    _run(programs, collect, count, seed=seed, phases=(Phase.generate,))
    return tuple(drawn)


def shrink(
    programs: SearchStrategy[Program],
    claim: Claim,
    tried: Iterable[Program],
    count: int,
    *,
    seed: int,
) -> Shrunk:
    """Return the simplest program that breaks a claim.

    Of the failures with the fewest edits, the largest says which kinds of edits and which phrases
    matter; only programs of these are tried.

    Args:
        programs: what draws.
        claim: what is to be broken.
        tried: what ``draw`` returned, and whatever else was measured; one of them breaks the claim.
        count: as of ``draw``.
        seed: as of ``draw``.

    """
    known = tuple(tried)
    breaking = [program for program in known if claim.excess(program) > 0]
    first = by_weight(breaking, claim)[0]
    shrinking = _Shrinking(claim, frozenset(known), parts(first))
    phases = (Phase.generate, Phase.shrink)
    found = _run(programs, shrinking.breaks, count, seed=seed, phases=phases)
    if shrinking.failed is not None:
        raise shrinking.failed
    # a phrase that was tried by itself, and not drawn, is as simple as it can be
    return Shrunk(first if found is None else found, len(shrinking.steps))


def by_weight(breaking: Iterable[Program], claim: Claim) -> list[Program]:
    """Return failures, those of the fewest edits first, and of these the largest."""
    return sorted(breaking, key=lambda program: (len(program.edits), -claim.excess(program)))


def parts(program: Program) -> frozenset[tuple[str, str]]:
    """Return the kinds of a program's edits, each with its phrase if it inserts one."""
    return frozenset(
        (edit.kind, edit.text if isinstance(edit, Insert) else "") for edit in program.edits
    )


class _Shrinking:
    """What `hypothesis` asks about each program; one that is not tried breaks nothing."""

    def __init__(
        self, claim: Claim, tried: frozenset[Program], parts: frozenset[tuple[str, str]]
    ) -> None:
        self._claim, self._tried, self._parts = claim, tried, parts
        self.steps: set[Program] = set()
        """Programs that were measured besides those tried before."""
        self.failed: Exception | None = None
        """What stopped it."""
        self._answers: dict[Program, bool] = {}

    def breaks(self, program: Program) -> bool:
        """Whether a program breaks the claim, as far as it is tried; always the same answer."""
        if program not in self._answers:
            self._answers[program] = self._breaks(program)
        return self._answers[program]

    def _breaks(self, program: Program) -> bool:
        if self.failed is not None or not self._parts.issuperset(parts(program)):
            return False
        if program not in self._tried:
            if len(self.steps) == MOST_STEPS:
                return False
            self.steps.add(program)
        try:
            self._claim.measure([program])
            return self._claim.excess(program) > 0
        except Exception as error:  # noqa: BLE001 - raised later: here it would be the PM's failure
            self.failed = error
            return False


def _run(
    programs: SearchStrategy[Program],
    condition: Callable[[Program], bool],
    count: int,
    *,
    seed: int,
    phases: Sequence[Phase],
) -> Program | None:
    own = settings(
        max_examples=count,
        phases=phases,
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
    )
    try:
        return find(programs, condition, settings=own, random=Random(seed))  # noqa: S311
    except NoSuchExample:
        return None
