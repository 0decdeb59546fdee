"""The release policy that a record holds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pm_audit.errors import RecordError
from pm_audit.judging.policy import read_expect, read_known_bias


def test_what_cannot_be_read_is_one_line_with_place_and_remedy() -> None:
    record = SimpleNamespace(
        file="a.yaml", line=3, expect={"closure": None}, known_bias={"reason": 3}
    )
    for read, words in (
        (read_expect, "`closure` must be a number, not empty"),
        (read_known_bias, "`reason` must be text, not the number 3"),
    ):
        with pytest.raises(RecordError) as refused:
            read(record)
        message = str(refused.value)
        assert message.startswith("a.yaml:3: the record's `")
        assert words in message
        assert message.endswith("write the record again with `pytest --pm-audit`")
        assert "\n" not in message
        assert "pydantic" not in message
