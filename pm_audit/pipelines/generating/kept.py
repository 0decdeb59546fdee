"""Failures kept in the example database of `hypothesis`, and tried first the next time.

They are kept by what is generated and expected, not by the PM: what broke one PM is tried on the
next.  The search itself does not depend on them, so that a run gives the same result on every
machine: a kept failure is judged only if nothing that was drawn breaks the claim.
"""

from __future__ import annotations

import hashlib

from hypothesis import settings
from pydantic import ValidationError

from pm_audit.spec import Hypothesis
from pm_audit.spec.generate import WrittenGenerate
from pm_audit.strategies import Program

MOST = 4
"""Failures of one hypothesis that are tried again."""


def kept(hypothesis: Hypothesis, generate: WrittenGenerate) -> tuple[Program, ...]:
    """Return the failures that earlier runs kept, simplest first."""
    database = settings().database
    if database is None:
        return ()
    found = []
    for content in database.fetch(_key(hypothesis, generate)):
        try:
            program = Program.model_validate_json(content)
        except ValidationError:
            continue  # of another release, or damaged
        if 0 < len(program.edits) <= generate.at_most:
            found.append((len(program.edits), len(content), content, program))
    return tuple(program for *_, program in sorted(found, key=lambda one: one[:3])[:MOST])


def keep(hypothesis: Hypothesis, generate: WrittenGenerate, program: Program) -> None:
    """Keep a failure for the next run."""
    database = settings().database
    if database is not None:
        content = program.model_dump_json().encode()
        database.save(_key(hypothesis, generate), content)


def _key(hypothesis: Hypothesis, generate: WrittenGenerate) -> bytes:
    content = [
        generate.model_dump_json(include={"base", "edits"}),
        hypothesis.expect.gap.value,
        hypothesis.objective or "",
    ]
    return b"pm_audit.generate." + hashlib.sha256("\0".join(content).encode()).digest()
