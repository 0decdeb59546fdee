"""Closures on fresh prompts, against what the weights of a planted model say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.records import Feature, Figure, Outcome, Role, Unit
from pm_audit.spec import expand
from recipes.calibrate import fresh
from recipes.calibrate.fresh import audit_fresh, closure_on, read
from recipes.calibrate.result import FreshAudit
from recipes.planted.hypothesis import always, drawn_hypothesis, some_of
from recipes.planted.linear import plant

torch.set_num_threads(1)


def test_the_closure_is_what_the_weights_say() -> None:
    model = plant({"!": 0.3, "*": 0.2}, seed=2)
    drawn = drawn_hypothesis(
        np.random.default_rng(0),
        closing=some_of("!*~", 2),
        counter_closing=always(";;"),
        prompts=7,
        phrasings=2,
    )
    experiment = read(model.pm, (model.sae,), drawn)
    rows = [
        model.pm.text_format.tokenise(case.turns, case.text)
        for case in expand(drawn)
        if case.role is Role.EXAMPLE
    ]
    gap = experiment.gap(range(7))
    by_weights = [
        np.mean([model.contribution(model.latent_of[mark], row) for row in rows]) / gap
        for mark in "!*"
    ]
    sets = [[Feature(sae="planted", layer=0, index=model.latent_of[mark])] for mark in "!*"]
    for one, expected in zip(sets, by_weights, strict=True):
        assert closure_on(experiment, [one]) == pytest.approx(expected, abs=1e-5)
    assert closure_on(experiment, sets) == pytest.approx(np.mean(by_weights), abs=1e-5)
    assert closure_on(experiment, [[*sets[0], *sets[1]]]) == pytest.approx(
        sum(by_weights), abs=1e-5
    )


def test_every_family_is_audited_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "FRESH", 60)
    monkeypatch.setattr(fresh, "AUDITS", 2)
    audits = audit_fresh(seed=1)
    assert [one.name for one in audits] == [name for name in fresh.FAMILIES for _ in range(2)]
    for one in audits[:2]:
        assert one.fresh == pytest.approx(1, abs=0.1)
    assert all(one.fresh is None or one.fresh < 0.8 for one in audits[2:])


def test_an_interval_without_a_limit_covers_on_that_side() -> None:
    audit = FreshAudit(
        subject="constructed",
        name="one",
        closure=None,
        fresh=0.5,
        stability=1.0,
        selected=1,
        explained=Outcome.PASS,
    )
    assert audit.covered is None
    for low, high, covered in ((0.4, 0.6, True), (0.6, 0.8, False), (None, 0.5, True)):
        stated = Figure(value=0.5, low=low, high=high, unit=Unit.SHARE)
        assert audit.model_copy(update={"closure": stated}).covered is covered
