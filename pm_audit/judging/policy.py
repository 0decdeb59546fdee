"""The release policy that a record holds: what was expected, and which failures are accepted."""

from __future__ import annotations

from datetime import date
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pm_audit.errors import RecordError
from pm_audit.records import Check, HypothesisRecord, Outcome
from pm_audit.spec import Expect, KnownBias
from pm_audit.spec.validation import describe

Model = TypeVar("Model", bound=BaseModel)


def read_expect(of: HypothesisRecord) -> Expect:
    """Return the release policy that a record holds, or raise RecordError."""
    return _read(Expect, of, "expect")


def read_known_bias(of: HypothesisRecord) -> KnownBias | None:
    """Return the accepted failure that a record holds, or None; raise RecordError if torn."""
    return None if of.known_bias is None else _read(KnownBias, of, "known_bias")


def accepted_by_bias(hypothesis: HypothesisRecord, *, on: date) -> frozenset[Check]:
    """Return the checks whose failure a known bias in force accepts: refuted or inconclusive."""
    bias = read_known_bias(hypothesis)
    if bias is None or bias.expired(on):
        return frozenset()
    return frozenset(
        result.check
        for result in hypothesis.checks
        if bias.covers(result.check) and result.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)
    )


def _read(model: type[Model], of: HypothesisRecord, field: str) -> Model:
    try:
        return model.model_validate(getattr(of, field))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        # in the words that the YAML file's own faults have
        faults = "; ".join(describe(model, detail) for detail in details[:3])
        raise RecordError(
            f"{of.file}:{of.line}: the record's `{field}` cannot be read: {faults}; "
            "write the record again with `pytest --pm-audit`"
        ) from error
