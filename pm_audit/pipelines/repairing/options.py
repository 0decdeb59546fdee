"""What is tried as a repair, and how it is chosen, judged and exported."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from pm_audit.errors import AuditError
from pm_audit.records import Finite, Record
from pm_audit.records.repair import Level

Count = Annotated[int, Field(ge=0)]


class RepairOptions(Record):
    """Every option has a default."""

    by: str | None = None
    """Column that names the subsets."""
    targets: tuple[str, ...] = ()
    """Subsets for which a repair is chosen; for none, all pairs and each subset that is not
    small."""
    hypotheses: tuple[str, ...] = ()
    """Whose verified sets are tried; all for none."""
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = tuple(Level)
    singles: Count = 4
    """Features of each set that are tried alone too, strongest contribution first."""
    directions: bool = False
    """Whether to try each set's directions, projected out in the weights; a forward a set."""
    contrasts: tuple[str, ...] = ()
    """Columns whose number says which side shows more of something: positive for the examples."""
    tolerance: Annotated[Finite, Field(ge=0, le=1)] = 0.005
    """Most accuracy that all pairs may lose."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest text that is read."""
    sample: Count = 0
    """Pairs to draw of each file; 0 for all."""
    seed: Count = 0
    """Of the halves, the sample and the intervals."""
    confidence: Annotated[Finite, Field(gt=0, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Of prompts, behind every interval."""
    pick: str | None = None
    """Repair to export, as the table names it; by default the first that helps."""
    base: str | None = None
    """Base that an exported adapter names."""

    @classmethod
    def of(cls, **given: Any) -> Self:  # noqa: ANN401 - options by name
        """Return options by their names.

        Raises:
            AuditError: one is unknown or of another kind.

        """
        try:
            return cls(**given)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            known = ", ".join(cls.model_fields)
            place = ".".join(map(str, fault["loc"]))
            message = f"option {place} of a repair: {fault['msg']}; options are {known}"
            raise AuditError(message) from None
