"""Planted sets are found exactly; what cannot be found is known too."""

from __future__ import annotations

import pytest
import torch

from pm_audit.records import Outcome
from pm_audit.spec import SetSearch
from recipes.calibrate import exact
from recipes.calibrate.exact import FAMILIES, audit_exact
from recipes.calibrate.result import ExactAudit

torch.set_num_threads(1)

FINDABLE = [name for name in FAMILIES if "one is sufficient" not in name]


@pytest.fixture(scope="module")
def grown() -> dict[str, ExactAudit]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "SetSearch", (SetSearch.GROWTH,))
        return {one.family: one for one in audit_exact(seed=1)}


@pytest.mark.parametrize("family", FINDABLE)
def test_the_planted_set_is_found_and_closes_everything(
    grown: dict[str, ExactAudit], family: str
) -> None:
    found = grown[family]
    assert found.found
    assert found.explained is Outcome.PASS
    figures = (found.closure, found.sufficiency, found.transfer)
    assert figures == pytest.approx((1, 1, 1), abs=1e-3)


def test_a_mask_finds_a_planted_set(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "marks on both sides, more in the examples"
    monkeypatch.setattr(exact, "SetSearch", (SetSearch.MASK,))
    monkeypatch.setattr(exact, "FAMILIES", {name: FAMILIES[name]})
    (found,) = audit_exact(seed=1)
    assert (found.search, found.found) == ("mask", True)
    assert found.closure == pytest.approx(1, abs=1e-3)


def test_of_two_sufficient_features_neither_is_found(grown: dict[str, ExactAudit]) -> None:
    found = grown["two letters of which one is sufficient"]
    assert not found.found
    assert found.closure == 0
    assert found.explained is Outcome.FAIL
