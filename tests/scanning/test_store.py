from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pm_audit.errors import NumericalError
from pm_audit.scanning.engines import Fleet
from pm_audit.scanning.store import Shop
from pm_audit.scanning.task import Subject
from recipes.planted.linear import plant


@dataclass
class Count:
    """A task that counts its runs."""

    number: int
    runs: list[int] = field(default_factory=list)
    stage: str = "count"

    def content(self) -> object:
        return self.number

    def run(self, _: Subject) -> bytes:
        if self.number < 0:
            raise NumericalError("a reward is not finite")
        self.runs.append(self.number)
        return f"result {self.number}".encode()


@pytest.fixture
def shop(tmp_path):
    planted = plant({})
    said: list[str] = []
    return Shop(Fleet(Subject(planted.pm, planted.sae)), tmp_path / "cache", said.append)


def test_finished_shards_are_not_run_again(shop):
    runs: list[int] = []
    assert shop.run([Count(at, runs) for at in (0, 1)]) == [b"result 0", b"result 1"]
    expected = [b"result 2", b"result 0", b"result 1"]
    assert shop.run([Count(at, runs) for at in (2, 0, 1)]) == expected
    assert runs == [0, 1, 2]


def test_a_failing_shard_keeps_those_before_it(shop):
    runs: list[int] = []
    with pytest.raises(NumericalError):
        shop.run([Count(0, runs), Count(-1, runs), Count(1, runs)])
    shop.run([Count(0, runs), Count(1, runs)])
    assert runs == [0, 1]


@pytest.mark.parametrize("harm", [lambda text: text[:-1], lambda _: b"", lambda text: text + b"x"])
def test_a_damaged_result_is_computed_again(shop, harm):
    runs: list[int] = []
    shop.run([Count(0, runs)])
    (place,) = shop.folder.iterdir()
    whole = place.read_bytes()
    place.write_bytes(harm(whole))
    assert shop.run([Count(0, runs)]) == [b"result 0"]
    assert place.read_bytes() == whole
    assert runs == [0, 0]
