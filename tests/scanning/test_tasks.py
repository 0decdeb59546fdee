"""What tasks compute, against the planted truth and against the library of the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pm_audit.data import Speaker, Turn
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.pipelines.rewards import rewards
from pm_audit.scanning import attributed, described
from pm_audit.scanning.ablated import AblateTask, joined
from pm_audit.scanning.attributed import AttributeTask, merged, read, require_tokens
from pm_audit.scanning.compared import CHOSEN, REJECTED, Comparison
from pm_audit.scanning.described import DescribeTask
from pm_audit.scanning.groups import GroupTask, closeness, contributions, grouped
from pm_audit.scanning.score import ScoreTask, scored
from pm_audit.scanning.task import Subject, key
from recipes.planted.linear import SCALE, STRENGTH, plant

BUDGET = 200
QUESTION = "Where is the mill?"
TURNS = (Turn(speaker=Speaker.HUMAN, text=QUESTION),)
TEXTS = [
    (" By the river! And on!", " By the bridge."),
    (" Near.", " Ask at the gate!"),
    (" Behind the *old mill", " Behind the new one*."),
    (" No*", " Yes*!"),
]
COMPARED = tuple(Comparison(at, TURNS, *texts) for at, texts in enumerate(TEXTS))


@pytest.fixture(scope="module")
def planted():
    return plant({"!": 2.0, "*": -1.0})


@pytest.fixture(scope="module")
def subject(planted):
    return Subject(planted.pm, planted.sae)


def test_scores_are_the_rewards(subject):
    found = scored([ScoreTask(COMPARED, BUDGET).run(subject)])
    for one, (chosen, rejected) in zip(found, TEXTS, strict=True):
        expected = rewards(subject.pm, QUESTION, [chosen, rejected])
        assert [one.chosen, one.rejected] == pytest.approx(expected.tolist(), abs=1e-5)
        assert one.prompt_tokens + one.chosen_tokens == len(
            subject.pm.text_format.tokenise(TURNS, chosen).token_ids
        )
    assert found[2].shared_tokens == len(" Behind the ")


def test_a_text_that_is_too_long_is_no_score_and_leaves_the_others_alone(subject):
    form = replace(subject.pm.text_format, longest=90)
    subject = replace(subject, pm=replace(subject.pm, text_format=form))
    long = Comparison(0, TURNS, " a" * 40, " b")
    alone = scored([ScoreTask(COMPARED, BUDGET).run(subject)])
    found = scored([ScoreTask((COMPARED[0], long, *COMPARED[1:]), BUDGET).run(subject)])
    assert "90" in found[1].refused
    rest = [one for one in found if not one.refused]
    assert [one.chosen for one in rest] == pytest.approx([one.chosen for one in alone], abs=1e-6)


def test_attribution_is_on_the_more_active_side_and_equals_the_ablation(subject, planted):
    """The planted PM is linear, so both are the truth: activations beyond the other's mean."""
    entries, tokens, gap = merged([AttributeTask(COMPARED, BUDGET, 2).run(subject)], [4])
    assert gap < 1e-4
    mark = planted.latent_of["!"]
    own = entries.of(mark)
    assert own.compared.tolist() == [0, 1, 3]
    assert own.side.tolist() == [CHOSEN, REJECTED, REJECTED]
    (sides, *_) = [require_tokens(subject.pm, COMPARED)]
    for at, side, value in zip(own.compared, own.side, own.attribution, strict=True):
        text = sides[at].texts[side]
        marks = text.text[text.offsets[sides[at].start][0] :].count("!")
        assert value == pytest.approx(
            2.0 * SCALE * marks * STRENGTH / len(text.token_ids), rel=1e-3
        )
    wanted = tuple(
        (int(at), mark, int(side)) for at, side in zip(own.compared, own.side, strict=True)
    )
    found = joined([AblateTask(COMPARED, wanted, BUDGET).run(subject)])
    np.testing.assert_allclose(found.contrast, own.attribution, rtol=1e-3)
    assert found.zero_chosen[1] == 0
    assert tokens.shape == (4, 2)


def test_contrast_ablation_is_that_of_the_engine_and_zero_touches_both_sides(subject, planted):
    mark = planted.latent_of["*"]
    found = joined(
        [AblateTask(COMPARED, ((2, mark, CHOSEN), (3, mark, CHOSEN)), BUDGET).run(subject)]
    )
    sides = require_tokens(subject.pm, COMPARED[2:])
    clean, targets = read(subject, sides)
    to_other = ablate_each(clean, subject.sae, [mark], targets=targets).dense([mark], [0, 2])[0]
    to_zero = ablate_each(clean, subject.sae, [mark]).dense([mark], range(4))[0]
    np.testing.assert_allclose(found.contrast, to_other, atol=1e-4)
    np.testing.assert_allclose(found.zero_chosen, to_zero[[0, 2]], atol=1e-4)
    np.testing.assert_allclose(found.zero_rejected, to_zero[[1, 3]], atol=1e-4)
    assert (found.zero_chosen < 0).all()


def test_a_groups_effect_is_the_sum_on_a_linear_pm(subject, planted):
    marks = (planted.latent_of["!"], planted.latent_of["*"])
    (joint,) = contributions(
        [GroupTask(COMPARED, (marks,), ((3, 0, REJECTED),), BUDGET).run(subject)]
    )
    wanted = tuple((3, mark, REJECTED) for mark in marks)
    alone = joined([AblateTask(COMPARED, wanted, BUDGET).run(subject)])
    assert joint == pytest.approx(alone.contrast.sum(), abs=1e-3)
    assert joint != pytest.approx(alone.contrast[0], abs=1e-3)


def test_no_task_reads_more_tokens_at_once_than_its_budget(subject, monkeypatch):
    read_at_once: list[tuple[int, int]] = []

    def counted(pm, saes, grid, **options):
        read_at_once.append((len(grid), sum(len(row.token_ids) for row in grid.rows)))
        return trace(pm, saes, grid, **options)

    for module in (attributed, described):
        monkeypatch.setattr(module, "trace", counted)
    many = tuple(Comparison(at, TURNS, *TEXTS[at % 4]) for at in range(20))
    sizes = [one.tokens for one in require_tokens(subject.pm, many)]
    wanted = tuple((at, 0, CHOSEN) for at in range(20))
    for task in (
        AttributeTask(many, 400, 1),
        AblateTask(many, wanted, 400),
        GroupTask(many, ((0, 1),), wanted, 400),
        DescribeTask(many, 0, 400),
    ):
        read_at_once.clear()
        task.run(subject)
        assert max(tokens for _, tokens in read_at_once) <= 400 < sum(sizes)
        assert task.stage == "describe" or sum(rows for rows, _ in read_at_once) == 40


def test_a_tasks_key_follows_its_content():
    task = ScoreTask(COMPARED, BUDGET)
    assert key(task) == key(ScoreTask(COMPARED, BUDGET))
    others = [ScoreTask(COMPARED[:3], BUDGET), ScoreTask(COMPARED, BUDGET + 1)]
    others += [AttributeTask(COMPARED, BUDGET, 1), AttributeTask(COMPARED, BUDGET, 2)]
    assert len({key(one) for one in (task, *others)}) == 5


def test_groups_join_what_is_alike_and_nothing_else():
    alike = np.eye(5)
    for one, other, value in ((0, 3, 0.9), (1, 2, 0.7), (2, 4, 0.1)):
        alike[one, other] = alike[other, one] = value
    assert grouped(alike) == [(0, 3), (1, 2), (4,)]
    assert closeness(alike, (0, 3)) == pytest.approx(0.9)
    assert closeness(alike, (4,)) is None
    assert grouped(np.eye(1)) == [(0,)]
