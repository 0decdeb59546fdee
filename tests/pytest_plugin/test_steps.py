"""How far a run is: noted down by the processes that audit, estimated from what was measured."""

from __future__ import annotations

import pytest

from pm_audit.pytest_plugin.progress import steps
from pm_audit.pytest_plugin.progress.steps import PRIOR_SECONDS, SHARES, Standing, Steps


def test_what_a_process_notes_is_what_another_reads(tmp_path, monkeypatch):
    clock = iter([100.0, 103.0, 105.0, 111.0])
    monkeypatch.setattr(steps.time, "time", lambda: next(clock))
    noting = Steps(tmp_path)
    assert steps.read(tmp_path) == ()
    noting.note("loading")
    noting.begin("urls")
    noting.note("urls: reading")
    (found,) = steps.read(tmp_path)
    assert found == Standing("urls: reading", since=105.0, began=103.0, number=1)
    noting.end()
    (found,) = steps.read(tmp_path)
    assert found == Standing(finished=(8.0,))


def test_a_torn_note_is_passed_over(tmp_path):
    Steps(tmp_path).note("loading")
    (tmp_path / "steps-1.json").write_text("{")
    assert [one.text for one in steps.read(tmp_path)] == ["loading"]


def test_a_full_disk_costs_no_audit(tmp_path):
    Steps(tmp_path / "gone").note("loading")


def left(*standings: Standing, total: int, now: float = 100.0) -> float:
    return steps.seconds_left(standings, total, now=now)


def test_before_anything_was_measured_the_prior_is_used():
    assert left(Standing("loading", since=99), total=3) == 3 * PRIOR_SECONDS


def test_steps_of_the_first_hypothesis_correct_the_prior():
    # the first step took 36 s of what is 18% of a hypothesis
    first = Standing("attributing", since=100, began=64, number=2)
    whole = 36 / SHARES[0]
    assert left(first, total=2) == pytest.approx(whole - 36 + whole)
    # while it is the first step that takes long, the estimate grows with it
    slow = Standing("reading", since=10, began=10, number=1)
    assert left(slow, total=1) == pytest.approx(90 / SHARES[0] - 90)


def test_whole_hypotheses_outweigh_steps():
    one = Standing("d: reading", since=99, began=98, number=1, finished=(10.0, 20.0))
    assert left(one, total=4) == pytest.approx(15 - 2 + 15)


def test_processes_share_what_is_left():
    both = [Standing("a", since=100, began=100, finished=(10.0,))] * 2
    assert left(*both, total=6) == pytest.approx((10 + 10 + 2 * 10) / 2)


def test_the_last_hypothesis_is_never_said_to_be_over():
    late = Standing("a", since=100, began=0, finished=(10.0,))
    assert left(late, total=2) > 0


def test_an_estimate_made_while_loading_says_so():
    loading = Standing("loading preference model default", since=92)
    assert steps.sentence((loading,), 2, now=100) == (
        "[0/2 audited, about 25 s once loaded] loading preference model default, 8 s"
    )
    assert steps.sentence((Standing(),), 2, now=100) is None
    later = Standing("loading preference model default", since=95)
    assert steps.sentence((later, loading), 2, now=100).endswith("default, 8 s")


def test_the_sentence_says_step_hypothesis_and_estimate():
    assert steps.sentence((), 3, now=100) is None
    one = Standing("urls: ablating 40 candidates", since=88, began=80, number=3, finished=(30.0,))
    assert steps.sentence((one,), 15, now=100) == (
        "[1/15 audited, about 7 min left] urls: ablating 40 candidates, 12 s"
    )
    assert steps.sentence((one,), 2, now=100).startswith("[1/2 audited, about 10 s left]")
