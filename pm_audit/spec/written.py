"""The kinds of values that users write: names, fields, completions, turns, days.

Text is taken strictly: a number or a boolean in its place is an error and never becomes text.  A
hypothesis whose ``No`` or ``1e-3`` became something else would test another claim.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from pm_audit.data.dialogue import Speaker
from pm_audit.records import Record

Name = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_.-]{1,80}$")]
"""A name that is safe in node ids, file names and every report."""

FieldName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,79}$")]
"""A name that can stand between braces."""

Text = Annotated[str, Field(strict=True, min_length=1, max_length=65_536)]
"""Text, kept verbatim."""

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
"""A share, 0 to 1."""


def _only_day(value: object) -> datetime.date:
    if type(value) is datetime.date:
        return value
    # pydantic would take text that is a number for seconds since 1970
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("a day is written as 2027-01-31")


Day = Annotated[datetime.date, BeforeValidator(_only_day)]


class Written(Record):
    """Base of what users write: frozen, closed to unknown keys, described for editors."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class WrittenTurn(Written):
    """One turn of a dialogue, a template under the name of the one who says it."""

    model_config = ConfigDict(
        title="Turn", json_schema_extra={"minProperties": 1, "maxProperties": 1}
    )

    system: Text | None = None
    """What the system message says; first turn only."""
    human: Text | None = None
    """What the human says."""
    assistant: Text | None = None
    """What the assistant said earlier."""

    @model_validator(mode="after")
    def _one_speaker(self) -> Self:
        if len(self.model_fields_set) != 1 or not self.template:
            raise ValueError("a turn has one speaker; start a new item for each turn")
        return self

    @property
    def speaker(self) -> Speaker:
        """Who says the turn."""
        return Speaker(next(iter(self.model_fields_set)))

    @property
    def template(self) -> str:
        """What is said, with placeholders."""
        return self.system or self.human or self.assistant or ""
