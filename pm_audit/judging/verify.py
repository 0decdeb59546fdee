"""Verify a record: judge it again from its own evidence and compare every figure.

Three things are verified.  Figures must follow from the evidence, up to the rounding by which two
processors may differ.  What a record holds twice must agree: the features that the folds selected,
and the rewards with them replaced.  Nothing may be changed after the record was written: each
hypothesis carries a digest of its own text.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

from pm_audit.judging.judge import rejudge, settle
from pm_audit.records import AuditRecord, HypothesisRecord, Role

_WORDED: dict[str, Any] = {"digest": True, "warnings": True, "checks": {"__all__": {"reason"}}}
"""Sentences change from version to version; only the digest covers them."""

TOLERANCE = 1e-9
"""Relative difference that summation order on another processor may make."""


def verify(record: AuditRecord) -> tuple[str, ...]:
    """Return what does not agree, a sentence each; empty for a sound record.

    Raises:
        NumericalError: a number of the evidence is not finite.
        RecordError: the evidence of a hypothesis is torn.

    """
    return tuple(_disagreements(record))


def _disagreements(record: AuditRecord) -> Iterator[str]:
    judged_again = settle([rejudge(one, method=record.method) for one in record.hypotheses])
    for recorded, computed in zip(record.hypotheses, judged_again, strict=True):
        where = f"{recorded.file}::{recorded.name}"
        if not record.complete:
            # a partial record holds only the checks that were selected
            held = {result.check for result in recorded.checks}
            kept = tuple(result for result in computed.checks if result.check in held)
            computed = computed.model_copy(update={"checks": kept})
        differences = list(
            _differences(
                recorded.model_dump(mode="json", exclude=_WORDED),
                computed.model_dump(mode="json", exclude=_WORDED),
            )
        )
        for path, stored, found in differences:
            yield f"{where}: {path} is {stored} in the record but {found} from its evidence"
        for contradiction in _contradictions(recorded):
            yield f"{where}: {contradiction}"
        if not differences and recorded.digest != recorded.computed_digest():
            yield f"{where}: {_altered(recorded.digest)}; audit again"
    if not record.intact:
        yield f"outside its hypotheses: {_altered(record.digest)}; audit again"
    judged = {
        (one.file, one.name, result.check) for one in record.hypotheses for result in one.checks
    }
    for entry in record.manifest:
        missing = [check for check in entry.checks if (entry.file, entry.name, check) not in judged]
        if missing and record.complete:
            yield (
                f"{entry.file}::{entry.name}: the record says that the run was complete, but "
                f"{', '.join(missing)} was not judged"
            )


def _contradictions(record: HypothesisRecord) -> Iterator[str]:
    """Yield what a hypothesis holds twice and not alike, or on both sides of a search."""
    searched = record.evidence.generated
    if searched and (both := set(searched.prompts).intersection(record.evidence.prompts)):
        yield f"edits were searched for on prompt {min(both)[:80]!a}, which judges them"
    selected: dict[str, list[int]] = defaultdict(list)
    for number, fold in enumerate(record.evidence.folds):
        for feature in fold.selected:
            selected[str(feature)].append(number)
    listed = [(str(feature), sorted(feature.folds)) for feature in record.features]
    if sorted(one for one in listed if one[1]) != sorted(selected.items()):
        yield "the features that it lists as selected are not those that its folds selected"
    for stage in record.evidence.stages[:1]:
        pairs = zip(record.evidence.rows, stage.selected, strict=True)
        if any(row.role is not Role.CONTROL and row.ablated != left for row, left in pairs):
            yield (
                "the rewards with the selected features replaced differ between its rows and the "
                "parts of its gap"
            )


def _altered(digest: str) -> str:
    if not digest.strip():
        return "the record holds no digest, so nothing shows that it is as it was written"
    return "the record was changed after it was written (its digest does not match)"


def _differences(
    stored: JsonValue, found: JsonValue, path: str = ""
) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Yield path and both values of each place where two JSON trees differ."""
    if isinstance(stored, dict) and isinstance(found, dict):
        for key in stored.keys() | found.keys():
            inner = f"{path}.{key}" if path else key
            yield from _differences(stored.get(key), found.get(key), inner)
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for index, (one, other) in enumerate(zip(stored, found, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif not _same(stored, found):
        yield path, stored, found


def _same(stored: JsonValue, found: JsonValue) -> bool:
    if isinstance(stored, float) and isinstance(found, float):
        return math.isclose(stored, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return stored == found
