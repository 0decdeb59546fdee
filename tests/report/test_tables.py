from __future__ import annotations

import pandas as pd
import pytest

from pm_audit.errors import RecordError
from pm_audit.report import tables
from pm_audit.report.files import write
from pm_audit.report.formats import csv, parquet


def test_one_row_a_hypothesis_with_figures_and_outcomes(record):
    frame = tables.frame(record)
    assert list(frame["hypothesis"]) == [h.name for h in record.hypotheses]
    urls = frame.set_index("hypothesis").loc["urls"]
    assert urls["gap"] == record.hypotheses[1].gap.value
    assert urls["gap_low"] == record.hypotheses[1].gap.low
    assert urls["check_explained"] == "fail"
    assert urls["features_selected"] == 2
    assert pd.isna(frame.set_index("hypothesis").loc["length"]["closure"])


def test_a_row_holds_every_condition_in_which_the_set_was_tried(record):
    one = record.hypotheses[1]
    urls = tables.frame(record).set_index("hypothesis").loc["urls"]
    assert urls["sufficiency_low"] == one.sufficiency.low
    assert urls["transfer_closure"] == one.transfer_closure.value
    assert [urls[f"closure_fold_{fold}"] for fold in (1, 2)] == list(one.closure_by_fold)
    assert urls["closure_under_zero_high"] == one.alongside[0].closure.high
    assert urls["phrasing_2"] == " https://example.org"
    assert urls["phrasing_2_unseen"] == one.transfer[1].closure.value
    assert urls["gap_in_error_first"] == one.decompositions[0].error_first.value


def test_completions_hold_the_rewards_under_each_replacement(record):
    rows = tables.rewards_frame(record).groupby("hypothesis").get_group("urls")
    others = record.hypotheses[1].evidence.alongside
    assert list(rows["ablated_mean"]) == list(others[1].rewards)
    assert list(rows["ablated"]) == [row.ablated for row in record.hypotheses[1].evidence.rows]


def test_features_and_rewards_hold_every_row(record):
    assert len(tables.features_frame(record)) == sum(len(h.features) for h in record.hypotheses)
    rewards = tables.rewards_frame(record)
    assert len(rewards) == sum(len(h.evidence.rows) for h in record.hypotheses)
    gap = rewards[rewards["hypothesis"] == "urls"].groupby(["prompt", "role"])["reward"].mean()
    by_prompt = gap.unstack()
    found = (by_prompt["example"] - by_prompt["counter_example"]).mean()
    assert found == pytest.approx(record.hypotheses[1].gap.value)


def test_a_token_without_text_has_its_name(record):
    first = record.hypotheses[0]
    ending = first.features[0].firings[0].model_copy(update={"token": "", "special": "<|im_end|>"})
    feature = first.features[0].model_copy(update={"firings": (ending,)})
    one = first.model_copy(update={"features": (feature,)})
    frame = tables.features_frame(record.model_copy(update={"hypotheses": (one,)}))
    assert list(frame["fires_on"]) == ["<|im_end|>"]


def test_csv_guards_texts_and_leaves_numbers_alone(with_texts):
    frame = tables.rewards_frame(with_texts(["=1+1", "-2", "@x", "\x1b[1m", "plain"]))
    text = csv.text(frame)
    assert "'=1+1" in text
    assert "\x1b" not in text
    assert ",-" in text
    assert "'-2" in text


def test_parquet_gives_the_same_texts_back(with_texts, tmp_path):
    pytest.importorskip("pyarrow")
    frame = tables.rewards_frame(with_texts(["=1+1", "\x1b[1m", "é"]))
    (tmp_path / "rewards.parquet").write_bytes(parquet.content(frame))
    back = pd.read_parquet(tmp_path / "rewards.parquet")
    assert list(back["text"]) == list(frame["text"])
    assert [path.name for path in tmp_path.iterdir()] == ["rewards.parquet"]


def test_the_suffix_chooses_the_view(record, tmp_path):
    for suffix, start in (
        (".html", "<!doctype html>"),
        (".md", "# Audit"),
        (".csv", "hypothesis,"),
    ):
        write(record, tmp_path / f"r{suffix}")
        assert (tmp_path / f"r{suffix}").read_text(encoding="utf-8").startswith(start)
    with pytest.raises(RecordError, match=r"must end in \.json, \.html"):
        write(record, tmp_path / "r.pdf")
