"""The release policy that a record holds: what was expected, and which failures are accepted."""

from __future__ import annotations

from datetime import date
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from pm_audit.errors import RecordError
from pm_audit.records import Check, HypothesisRecord, Outcome
from pm_audit.spec import Expect, KnownBias
from pm_audit.spec.validation import describe

_REMEDY = "write the record again with `pytest --pm-audit`"


class WithPolicy(Protocol):
    """A hypothesis as a record holds it."""

    @property
    def file(self) -> str: ...  # noqa: D102
    @property
    def line(self) -> int: ...  # noqa: D102
    @property
    def expect(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def known_bias(self) -> dict[str, Any] | None: ...  # noqa: D102


def read_expect(of: WithPolicy) -> Expect:
    """Return the release policy that a record holds.

    Raises:
        RecordError: it is none that this version reads.

    """
    try:
        return Expect.model_validate(of.expect)
    except ValidationError as error:
        raise RecordError(
            f"{of.file}:{of.line}: the record's `expect` cannot be judged: "
            f"{_faults(Expect, error)}; {_REMEDY}"
        ) from error


def read_known_bias(of: WithPolicy) -> KnownBias | None:
    """Return the accepted failure that a record holds, or None.

    Raises:
        RecordError: it is none that this version reads.

    """
    if of.known_bias is None:
        return None
    try:
        return KnownBias.model_validate(of.known_bias)
    except ValidationError as error:
        raise RecordError(
            f"{of.file}:{of.line}: the record's `known_bias` cannot be read: "
            f"{_faults(KnownBias, error)}; {_REMEDY}"
        ) from error


def accepted_by_bias(hypothesis: HypothesisRecord, *, on: date) -> frozenset[Check]:
    """Return the checks whose failure a known bias in force accepts: refuted or inconclusive.

    Raises:
        RecordError: the known bias is none that this version reads.

    """
    bias = read_known_bias(hypothesis)
    if bias is None or bias.expired(on):
        return frozenset()
    return frozenset(
        result.check
        for result in hypothesis.checks
        if bias.covers(result.check) and result.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)
    )


def _faults(model: type[BaseModel], error: ValidationError) -> str:
    """Return what is wrong in one line, in the words that the YAML file's own faults have."""
    details = error.errors(include_url=False, include_context=True)
    return "; ".join(describe(model, detail) for detail in details[:3])
