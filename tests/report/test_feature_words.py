"""What a feature is called: its label, and always its index."""

from __future__ import annotations

import pytest

from pm_audit.records import FeatureLabel, Firing, LabelSource
from pm_audit.report import feature_words, markdown, tables, terminal
from pm_audit.report.html import page
from pm_audit.report.wording import label_origin


@pytest.fixture
def called(record):
    def make(text: str | None, source: LabelSource = LabelSource.FILE, score: float | None = None):
        label = None if text is None else FeatureLabel(text=text, source=source, score=score)
        return record.hypotheses[0].features[0].model_copy(update={"label": label})

    return make


def test_a_name_is_the_label_and_the_index(called):
    assert (
        feature_words.name(called("“though”, “could be”")) == "“though”, “could be” (resid_6/812)"
    )
    assert feature_words.name(called(None)) == "resid_6/812"


@pytest.mark.parametrize("width", [0, 20, 30, 60])
def test_a_label_is_cut_and_the_index_never(called, width):
    shown = feature_words.name(called("“though”, “could be a longer one”"), width=width)
    assert shown.endswith(" (resid_6/812)")
    assert len(shown) <= max(width, 12 + len(" (resid_6/812)"))
    assert "…" in shown or width == 60


def test_every_report_has_the_one_name(record):
    name = "“know”, “don't” (resid_6/812)"
    assert name in terminal.summary(record)
    assert name in terminal.summary(record, every_feature=True)
    assert name.replace("_", "\\_").replace("(", "\\(").replace(")", "\\)") in markdown.render(
        record
    )
    assert name.replace("'", "&#39;") in page.render(record)
    first = tables.features_frame(record).iloc[0]
    assert first["label"] == "“know”, “don't”"
    assert (first["label_source"], first["label_score"]) == ("firing", 0.92)


def test_a_label_says_where_it_comes_from(called):
    assert label_origin(called(None)) == "none"
    assert label_origin(called("x")) == "from the project's file"
    firing = called("x", LabelSource.FIRING, 0.924)
    assert label_origin(firing) == "from where it fires, 92% balanced accuracy on other prompts"


@pytest.mark.parametrize(
    ("after", "special", "name"),
    [
        ("", None, "end of turn"),
        ("b", None, "token without text"),
        ("", "<|im_end|>", "<|im_end|>"),
    ],
)
def test_a_token_without_a_character_has_a_name(after, special, name):
    firing = Firing(before="a", token="", after=after, activation=1.0, special=special)
    assert feature_words.name_of_token(firing) == name
