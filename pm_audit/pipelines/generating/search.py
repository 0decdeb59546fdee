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
    """Says whether programs break the claim; measures each once."""

    def measure(self, programs: Iterable[Program]) -> None:
        """Measure programs together."""

    def breaks(self, program: Program) -> bool:
        """Whether a program breaks the claim, measured now if need be."""


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
    drawn: Iterable[Program],
    count: int,
    *,
    seed: int,
) -> Shrunk | None:
    """Return the simplest program that breaks a claim, from the first that is drawn.

    Args:
        programs: what draws.
        claim: what is to be broken.
        drawn: what ``draw`` returned, and whatever else was tried.
        count: as of ``draw``.
        seed: as of ``draw``.

    """
    failed: list[Exception] = []
    before = set(drawn)
    tried = set(before)

    def breaks(program: Program) -> bool:
        if failed:
            return False
        try:
            if program not in tried:
                new = [one for one in _and_without_an_edit(program) if one not in tried]
                tried.update(new)
                claim.measure(new)
            return claim.breaks(program)
        except Exception as error:  # noqa: BLE001 - raised again: to `hypothesis` it would be a failure
            failed.append(error)
            return False

    phases = (Phase.generate, Phase.shrink)
    found = _run(programs, breaks, count, seed=seed, phases=phases)
    if failed:
        raise failed[0]
    return None if found is None else Shrunk(found, len(tried - before))


def _and_without_an_edit(program: Program) -> Iterator[Program]:
    """Yield a program, and those with an edit less, which are tried next."""
    yield program
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
