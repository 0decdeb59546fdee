from __future__ import annotations

import json
import threading

import pytest
from filelock import FileLock

from pm_audit.errors import ModelError, RecordError
from pm_audit.pytest_plugin.ledger import Ledger
from pm_audit.records import AuditRecord
from pm_audit.spec import Hypothesis


@pytest.fixture(scope="module")
def results(stored_record_path):
    return {h.name: h for h in AuditRecord.read(stored_record_path).hypotheses}


def named(name, objective=None):
    """Return a hypothesis of this name; what else it says does not matter here."""
    return Hypothesis(
        name=name,
        claim="A claim.",
        effect="raises",
        file="one.yaml",
        prompts=({"id": "one", "fields": {}},),
        examples=("a",),
        counter_examples=("b",),
        objective=objective,
    )


class Counting:
    """Audits by looking up a result, and counts how often it was asked."""

    def __init__(self, results):
        self.results = results
        self.asked: list[str] = []

    def __call__(self, hypothesis):
        self.asked.append(hypothesis.name)
        if hypothesis.name == "length":
            raise ModelError("no head; name another")
        return self.results[hypothesis.name]


@pytest.fixture
def audit(results):
    return Counting(results)


def test_a_hypothesis_is_audited_once_and_read_by_others(tmp_path, audit, results):
    first, second = Ledger(tmp_path, audit), Ledger(tmp_path, audit)
    entry = first.entry(named("urls"))
    assert entry.result == results["urls"]
    assert second.entry(named("urls")) == entry
    assert audit.asked == ["urls"]


def test_an_error_is_kept_and_not_tried_again(tmp_path, audit, results):
    ledger = Ledger(tmp_path, audit)
    for _ in range(2):
        entry = Ledger(tmp_path, audit).entry(named("length"))
        assert entry.result is None
        assert entry.fixable
        assert entry.error == "no head; name another"
    assert ledger.find("urls") is None
    assert audit.asked == ["length"]


def test_a_bug_keeps_its_traceback(tmp_path, results):
    def audit(hypothesis):
        raise ZeroDivisionError("oh")

    entry = Ledger(tmp_path, audit).entry(named("urls"))
    assert not entry.fixable
    assert "ZeroDivisionError: oh" in entry.error


def test_a_result_that_was_changed_is_refused(tmp_path, audit, results):
    Ledger(tmp_path, audit).entry(named("urls"))
    (path,) = tmp_path.glob("*.json")
    outer = json.loads(path.read_text())
    outer["payload"] = outer["payload"].replace("urls", "URLS")
    path.write_text(json.dumps(outer))
    with pytest.raises(RecordError, match="was changed after it was written"):
        Ledger(tmp_path, audit).find("urls")
    path.write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        Ledger(tmp_path, audit).find("urls")


def test_a_process_that_would_wait_audits_ahead(tmp_path, audit, results):
    ledger = Ledger(tmp_path, audit)
    held = FileLock(ledger._path("urls").with_suffix(".lock"), thread_local=False)
    held.acquire()
    timer = threading.Timer(0.3, held.release)
    timer.start()
    entry = ledger.entry(named("urls"), queue=[named("urls"), named("i-dont-know")])
    timer.join()
    assert entry.result == results["urls"]
    assert audit.asked == ["i-dont-know", "urls"]


def test_objectives_of_one_hypothesis_are_audited_apart(tmp_path, audit, results):
    ledger = Ledger(tmp_path, audit)
    for objective in ("honesty", "harm", "honesty"):
        assert ledger.entry(named("urls", objective)).result == results["urls"]
    assert audit.asked == ["urls", "urls"]
    assert ledger.find("urls") is None
    assert ledger.find("urls@harm") is not None
