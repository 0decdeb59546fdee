"""Search: `hypothesis` draws edits, one forward reads them all, and a failure is shrunk.

The same seed draws the same edits twice.  The first time they are only collected, and read
together.  The second time each is known, so that `hypothesis` gets from its first failure to the
simplest one it finds with no forwards but those of simpler edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from hypothesis import Phase, Verbosity, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from pm_audit.strategies import Program


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
    least: float,
) -> Shrunk | None:
    """Return the simplest program that breaks a claim by more than ``least``.

    Then no edit of it is needless: without any, the rest would not break the claim at all.

    Args:
        programs: what draws.
        claim: what is to be broken.
        tried: what ``draw`` returned, and whatever else was measured.
        count: as of ``draw``.
        seed: as of ``draw``.
        least: so that a large failure is not shrunk to a small one of another kind.

    """
    failed: list[Exception] = []
    before = set(tried)
    known = set(before)

    def measured(program: Program) -> float:
        new = [one for one in _and_without_an_edit(program) if one not in known]
        known.update(new)
        claim.measure(new)
        return claim.excess(program)

    def breaks(program: Program) -> bool:
        if failed:
            return False
        try:
            found = claim.excess(program) if program in known else measured(program)
            return found > least
        except Exception as error:  # noqa: BLE001 - raised again: to `hypothesis` it would be a failure
            failed.append(error)
            return False

    phases = (Phase.generate, Phase.shrink)
    found = _run(programs, breaks, count, seed=seed, phases=phases)
    if failed:
        raise failed[0]
    if found is None:
        return None
    while less := [one for one in _without_an_edit(found) if measured(one) > 0]:
        found = max(less, key=claim.excess)
    return Shrunk(found, len(known - before))


def _and_without_an_edit(program: Program) -> Iterator[Program]:
    """Yield a program, and those with an edit less, which are tried next."""
    yield program
    yield from _without_an_edit(program)


def _without_an_edit(program: Program) -> Iterator[Program]:
    if len(program.edits) > 1:
        for at in range(len(program.edits)):
            yield Program(edits=(*program.edits[:at], *program.edits[at + 1 :]))


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
