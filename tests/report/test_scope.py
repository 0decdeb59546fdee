"""How far an explanation holds: every condition once, each phrasing both seen and unseen."""

from __future__ import annotations

import pandas as pd
import pytest

from pm_audit.report import html, markdown, scope, terminal
from pm_audit.report.html.conditions import conditions as drawn


def changed(record, **update):
    """Return a record of the first hypothesis alone, with other fields."""
    one = record.hypotheses[0].model_copy(update=update)
    return record.model_copy(update={"hypotheses": (one,)})


def test_every_condition_is_listed_once_and_none_without_a_gap(record):
    one, *_, length, _ = record.hypotheses
    titles = [found.title for found in scope.conditions(one, "contrast")]
    assert titles == [
        "closure, contrast replacement",
        "closure, fold 1",
        "closure, fold 2",
        "closure, zero replacement",
        "closure, mean replacement",
        "sufficiency",
        "closure of unseen phrasings",
        *["unseen"] * 3,
        "stability (mean, range)",
        "collateral",
        "random sets (median, 95th percentile)",
        "placebo searches (median, range)",
    ]
    assert scope.conditions(length, "contrast") == ()
    assert scope.line(length) == scope.sentence(length) == ""


def test_a_seen_phrasing_is_closed_as_its_rows_say(record):
    one = record.hypotheses[0]
    rows = pd.DataFrame([row.model_dump() for row in one.evidence.rows])
    others = rows[rows["role"] == "counter_example"].groupby("prompt")[["reward", "ablated"]].mean()
    for number, found in enumerate(scope.phrasings(one)):
        own = rows[(rows["role"] == "example") & (rows["variant"] == number)].set_index("prompt")
        gap = (own[["reward", "ablated"]] - others).mean()
        assert found.seen == pytest.approx(1 - gap["ablated"] / gap["reward"])
        assert found.figure == one.transfer[number].closure
        assert found.phrasing == own["text"].iloc[0]


def test_a_phrasing_without_a_gap_is_listed_with_a_dash(record):
    one = record.hypotheses[0]
    first, *others = one.transfer
    transfer = (first.model_copy(update={"closure": None}), *others)
    without = changed(record, transfer=transfer)
    (found, *_) = scope.phrasings(without.hypotheses[0])
    assert scope.value(found) == "-, seen 81%"
    assert "| unseen `  I don't know. ` | -, seen 81% |" in markdown.render(without)
    assert "unseen “I don't know.”" in terminal.summary(without, every_feature=True)
    assert ">-, seen 81%</b>" in html.render(without)


def test_the_sentence_says_what_was_measured_and_no_more(record):
    one = record.hypotheses[0]
    assert scope.sentence(one.model_copy(update={"sufficiency": None, "stability": None})) == (
        "Searches that did not see a phrasing close 55% [51%, 59%] of its gap"
    )
    assert scope.line(one).startswith("closure 82% [76%, 89%]; sufficiency 81% [")


def test_the_axis_holds_the_policy_and_ends_where_shares_make_no_sense(record):
    one = record.hypotheses[0]
    wild = one.collateral.model_copy(update={"high": 40.0})
    chart = drawn(one.model_copy(update={"collateral": wild}), "contrast")
    assert chart.scale.high == pytest.approx(2.0, abs=0.1)
    expected = {row.of.term: row.expected for row in chart.drawn if row.expected}
    assert expected == {"closure": (0.6, 1.4), "collateral": (0.0, 0.25)}
    assert drawn(record.hypotheses[3], "contrast") is None


def test_the_method_names_its_replacement(record):
    method = record.method.model_copy(update={"replacement": "<b>zero</b>"})
    page = html.render(record.model_copy(update={"method": method}))
    assert "closure, &#60;b&#62;zero" in page


def test_an_open_closure_of_unseen_phrasings_is_said(record):
    one = record.hypotheses[0]
    assert "may be 0" not in scope.sentence(one)
    open_one = one.model_copy(update={"transfer_closure": None})
    assert "of a phrasing that no search saw is open" in scope.sentence(open_one)
    untried = open_one.model_copy(update={"transfer": ()})
    assert "phrasing" not in scope.sentence(untried)
