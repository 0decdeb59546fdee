"""Large preference sets: the gap is that of every pair, features are searched for on a draw."""

from __future__ import annotations

import json
import resource
import time

import numpy as np
import pytest
import torch

from pm_audit.data import read_pairs
from pm_audit.judging import verify
from pm_audit.pipelines import further
from pm_audit.pipelines.audit import Auditor
from pm_audit.pipelines.record import Surroundings, assemble
from pm_audit.pipelines.rewards import rewards
from pm_audit.records import Check, HypothesisRecord, Outcome
from pm_audit.release.texts import dropped_texts, less_text
from pm_audit.report import findings, html, markdown, terminal
from pm_audit.spec import Settings
from recipes.planted.linear import Planted, plant
from tests.pipelines.test_texts import FEW, audited, hypothesis, rows

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> Planted:
    return plant({"!": 0.4, "~": 0.4}, seed=1)


@pytest.fixture(scope="module")
def given() -> list[dict]:
    """Pairs of two kinds: forty of a mark that raises the reward, twenty of one that does not."""
    return [
        *rows(40),
        *(row | {"prompt": f"Who is {at}?"} for at, row in enumerate(rows(20, mark="@"))),
    ]


@pytest.fixture(scope="module")
def record(model: Planted, given: list[dict]) -> HypothesisRecord:
    return audited(model, hypothesis(given), searched_prompts=24)


def test_the_gap_is_that_of_every_prompt_and_the_search_has_its_draw(model, record, given):
    evidence = record.evidence
    assert (len(evidence.prompts), len(evidence.further), evidence.tried) == (24, 36, 60)
    sides = [
        rewards(model.pm, [row["prompt"] for row in given], [f" {row[side]}" for row in given])
        for side in ("chosen", "rejected")
    ]
    gaps = sides[0] - sides[1]
    assert record.gap.value == pytest.approx(gaps.mean(), abs=1e-4)
    held = sorted([*evidence.gaps(), *(one.gap for one in evidence.further)])
    np.testing.assert_allclose(held, np.sort(gaps), atol=1e-4)
    assert record.searched_gap is not None
    assert record.searched_gap.value == pytest.approx(np.mean(evidence.gaps()), abs=1e-9)
    assert record.explained_gap == record.searched_gap
    assert sorted(at for fold in evidence.folds for at in fold.held_out) == list(range(24))
    (parts,) = record.decompositions
    summed = parts.selected.value + parts.other_features.value + parts.error_term.value
    assert summed + parts.rest.value == pytest.approx(record.searched_gap.value, abs=1e-6)
    assert record.closure.value == pytest.approx(1.0, abs=1e-2)


def test_portions_give_the_gaps_of_one_reading(model, record, given, monkeypatch):
    monkeypatch.setattr(further, "PORTION_TOKENS", 1)  # a prompt at a time
    small = audited(model, hypothesis(given), searched_prompts=24)
    whole = {one.id: one.gap for one in record.evidence.further}
    for one in small.evidence.further:
        assert one.gap == pytest.approx(whole[one.id], abs=1e-4)
    assert small.evidence.further


def test_the_draw_does_not_depend_on_the_order_of_rows_and_follows_the_seed(model, given):
    def drawn(rows: list[dict], seed: int) -> set[str]:
        found = audited(model, hypothesis(rows), searched_prompts=8, seed=seed)
        return set(found.evidence.prompts)

    assert drawn(given, 1) == drawn(given[::-1], 1) != drawn(given, 2)


def test_a_set_that_fits_is_read_as_ever(model, given):
    whole = audited(model, hypothesis(given), searched_prompts=60)
    assert whole.evidence.further == ()
    assert whole.searched_gap is None
    assert whole.explained_gap == whole.gap
    assert "further" not in whole.evidence.model_dump()


def test_every_report_says_how_many_had_a_search(model, record):
    auditor = Auditor(Settings(**FEW), subject=(model.pm, (model.sae,)))
    run = assemble(Surroundings.of(auditor), [], [record])
    said = "60 pairs, 24 of them with a search for features"
    assert findings.prompts(record) == said
    for page in (terminal.summary(run), markdown.render(run), html.render(run)):
        assert said in " ".join(page.replace("\\", "").split())
    row = run.frame().iloc[0]
    assert (row["prompts"], row["prompts_searched"]) == (60, 24)


def test_a_changed_gap_of_a_further_prompt_is_found(model, record):
    auditor = Auditor(Settings(**FEW, searched_prompts=24), subject=(model.pm, (model.sae,)))
    run = assemble(Surroundings.of(auditor), [], [record])
    assert verify(run) == ()
    first, *others = record.evidence.further
    changed = record.evidence.model_copy(
        update={"further": (first.model_copy(update={"gap": first.gap + 100}), *others)}
    )
    harmed = run.model_copy(
        update={"hypotheses": (record.model_copy(update={"evidence": changed}),)}
    )
    assert any("gap.value is" in one for one in verify(harmed))


def test_the_release_gate_sees_prompts_that_are_gone(record):
    old = record.evidence
    fewer = old.model_copy(update={"further": old.further[:-1]})
    assert not dropped_texts(old, old)
    assert dropped_texts(old, fewer)
    assert less_text(old, fewer) == ["prompts from 60 to 59"]
    assert less_text(old, old) == []


def test_ten_thousand_rows_of_which_three_in_a_hundred_are_broken_are_all_judged_or_counted(
    model, tmp_path
):
    good = iter(rows(9_697))
    lines = ["{" if at % 33 == 5 else json.dumps(next(good)) for at in range(10_000)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    pairs = read_pairs(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    record = audited(model, hypothesis(pairs), searched_prompts=12)
    assert time.process_time() - start < 120
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    used = record.evidence.pairs
    assert (used.rows, used.used, used.skipped) == (10_000, 9_697, {"unreadable": 303})
    assert record.evidence.tried == 9_697
    assert record.outcomes[Check("gap")] is Outcome.PASS
    assert record.outcomes[Check.EXPLAINED] is not Outcome.INVALID
