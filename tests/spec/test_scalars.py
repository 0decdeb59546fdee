from __future__ import annotations

import math

import pytest

from pm_audit.spec.scalars import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("No", "No"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2027-01-31", "2027-01-31"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("tRue", "tRue"),
        ("infinity", "infinity"),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("-12", -12),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("", None),
        ("\u0661\u0662", "\u0661\u0662"),  # digits of another script are text
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_a_number_of_absurd_length_is_refused() -> None:
    with pytest.raises(ValueError, match="100000 digits"):
        resolve("9" * 100_000)
