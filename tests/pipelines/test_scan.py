"""A scan of a planted PM finds what was planted, whichever side of a pair it stands on."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

import pm_audit
from pm_audit.cli import main
from pm_audit.data import PairSet, SkipReason, read_rows
from pm_audit.errors import AuditError, InvalidSpec, RecordError
from pm_audit.pipelines.scan import ScanSettings, scan, score
from pm_audit.records.scan import ScanRecord
from pm_audit.report.html.scan import render
from pm_audit.report.preferences import summary
from pm_audit.scanning.compared import share_of_prompt
from pm_audit.scanning.engines import Fleet
from pm_audit.scanning.sampler import Sampler
from pm_audit.scanning.task import Subject
from recipes.planted.linear import plant
from tests.report.test_html import HOSTILE, Elements

PLANTED = {"!": 2.0, "*": -1.5, "~": 1.0}
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
FEW = ScanSettings(candidates=16, ablated=16)


def rows(count: int, *, seed: int = 0) -> list[dict]:
    """Return pairs whose labels are coins: marks stand on either side at random."""
    draw = random.Random(seed)

    def text() -> str:
        words = draw.choices(WORDS, k=draw.randint(5, 12))
        for mark in "!*~+^":
            if draw.random() < 0.3:
                words.insert(draw.randrange(len(words)), mark)
        return " ".join(words)

    return [
        {"id": at, "prompt": f"q {at // 2}", "chosen": text(), "rejected": text(), "part": at % 3}
        for at in range(count)
    ]


@pytest.fixture(scope="module")
def planted():
    return plant(PLANTED)


@pytest.fixture(scope="module")
def fleet(planted) -> Fleet:
    return Fleet(Subject(planted.pm, planted.sae))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data() -> PairSet:
    return read_rows(rows(150))


@pytest.fixture(scope="module")
def record(data, fleet, cache) -> ScanRecord:
    return scan(data, fleet, FEW, cache, lambda _: None)


def test_the_planted_marks_come_first_with_their_signs(record, planted):
    first = record.features[: len(PLANTED)]
    assert {one.index for one in first} == {planted.latent_of[mark] for mark in PLANTED}
    for one in first:
        (mark,) = [mark for mark in PLANTED if planted.latent_of[mark] == one.index]
        assert np.sign(one.effect.value) == np.sign(PLANTED[mark])
        assert one.same_sign > 0.9
        assert one.moved > 0.9
        assert one.sign_agreement > 0.9
        assert one.attribution == pytest.approx(one.effect.value, rel=1e-2)
        assert one.label.text == f"“{mark}”"
        assert all(firing.token == mark for firing in one.firings)
    groups = [record.features[group.features[0]].index for group in record.groups]
    assert groups[: len(PLANTED)] == [one.index for one in first]


def test_marks_that_weigh_nothing_have_no_effect(record, planted):
    for mark in "+^":
        own = [one for one in record.features if one.index == planted.latent_of[mark]]
        assert all(abs(one.effect.value) < 1e-4 for one in own)


def test_coin_labels_have_no_accuracy_and_no_systematic_difference(record):
    accuracy = record.overall.accuracy
    assert accuracy.low < 0.5 < accuracy.high
    assert record.overall.prompts == 75
    assert record.features[0].difference.low < 0 < record.features[0].difference.high


def test_a_pm_that_likes_a_mark_more_than_coins_do_leans_too_far(
    record, data, fleet, cache, planted
):
    sampled = {name for name, _ in record.sample}
    texts = {pair.id: (pair.examples[0], pair.counter_examples[0]) for pair in data.pairs}
    found: dict[str, tuple[int, float]] = {}
    for row in score(data, fleet, cache, lambda _: None).rows():
        if row["id"] in sampled:
            one, other = texts[row["id"]]
            found[row["id"]] = ("!" in one) - ("!" in other), row["difference"]
    sides = [(side, gap) for side, gap in found.values() if side]
    by_pm = np.mean([side * gap > 0 for side, gap in sides])
    by_coin = np.mean([side > 0 for side, _ in sides])
    one = next(one for one in record.features if one.index == planted.latent_of["!"])
    assert one.leans_too_far.value == pytest.approx(by_pm - by_coin)
    assert one.leans_too_far.low > 0
    disliked = next(one for one in record.features if one.index == planted.latent_of["*"])
    assert disliked.leans_too_far.high < 0


def test_the_record_says_what_was_left_out(record, data):
    found = record.data
    assert (found.rows, found.pairs, found.comparisons) == (150, 150, 150)
    assert found.filtered > 0
    assert found.sampled + found.filtered + found.held_out == 150
    prompts = {pair.id: pair.turns for pair in data.pairs}
    assert len(record.sample) == found.sampled
    for name, _ in record.sample:
        assert share_of_prompt(prompts[name], seed=0) >= record.method.held_out


def test_parts_and_correlations_are_those_of_the_rewards(record, data, fleet, cache):
    scores = score(data, fleet, cache, lambda _: None)
    table = scores.rows()
    right = np.array([row["difference"] > 0 for row in table])
    parts = {one.name: one for one in record.by_column["part"]}
    for name, one in parts.items():
        own = [at for at, pair in enumerate(data.pairs) if str(pair.columns["part"]) == name]
        assert one.comparisons == len(own)
        assert one.accuracy.value == pytest.approx(right[own].mean())
    (marks,) = [one for one in record.correlations if one.name == "exclamation marks"]
    texts = [(pair.examples[0], pair.counter_examples[0]) for pair in data.pairs]
    more = [one.count("!") - other.count("!") for one, other in texts]
    expected = spearmanr(more, [row["difference"] for row in table]).statistic
    assert marks.spearman == pytest.approx(expected)
    assert marks.low < expected < marks.high
    assert marks.labelled == pytest.approx(np.mean(more))
    assert sum(record.differences.counts) == 150


def test_a_second_scan_reads_what_the_first_kept_and_writes_the_same_bytes(
    record, data, fleet, cache, tmp_path
):
    said: list[str] = []
    again = scan(data, fleet, FEW, cache, said.append)
    assert said == []
    fresh = scan(data, fleet, FEW, tmp_path, said.append)
    assert again.document() == fresh.document() == record.document()
    path = tmp_path / "scan.json"
    record.write(path)
    assert ScanRecord.read(path) == record
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(RecordError, match="pm-audit scan"):
        ScanRecord.read(path)


@pytest.mark.parametrize("sampler", Sampler)
def test_every_sampler_finds_them(data, fleet, cache, planted, sampler):
    settings = replace(FEW, sampler=sampler, sample=60, held_out=0.0, longest=100.0)
    found = scan(data, fleet, settings, cache, lambda _: None)
    assert found.data.sampled == 60
    first = {one.index for one in found.features[: len(PLANTED)]}
    assert first == {planted.latent_of[mark] for mark in PLANTED}


def test_pairs_that_are_too_long_are_skipped_and_counted(data, planted, tmp_path):
    form = replace(planted.pm.text_format, longest=120)
    short = Fleet(Subject(replace(planted.pm, text_format=form), planted.sae))
    found = score(read_rows([*rows(8), *rows(1, seed=5)[:0], long_row()]), short, tmp_path, print)
    assert found.skipped() == {SkipReason.TOO_LONG.value: 1}
    assert len(found.rows()) == 8
    with pytest.raises(AuditError, match="none of its pairs"):
        score(read_rows([long_row()]), short, tmp_path, print)


def long_row() -> dict:
    return {"id": "long", "prompt": "q", "chosen": "a" * 200, "rejected": "b"}


def test_settings_that_make_no_sense_are_refused_together():
    with pytest.raises(AuditError, match=r"sample must be .*; the length filter .*; held_out"):
        ScanSettings(sample=0, shortest=50, longest=20, held_out=1)


def test_a_sample_needs_something_to_sample(fleet, tmp_path):
    with pytest.raises(AuditError, match="bring more pairs"):
        scan(read_rows(rows(2)), fleet, replace(FEW, held_out=0.99), tmp_path, lambda _: None)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_rewards_are_written_as_the_suffix_says(data, planted, cache, tmp_path, suffix):
    import pandas as pd

    scores = pm_audit.score(data, planted.pm, cache=cache)
    path = tmp_path / f"rewards{suffix}"
    scores.write(path)
    read = {
        ".jsonl": lambda: pd.read_json(path, lines=True),
        ".csv": lambda: pd.read_csv(path),
        ".parquet": lambda: pd.read_parquet(path),
    }
    table = read[suffix]()
    assert table["id"].astype(str).tolist() == [str(at) for at in range(150)]
    expected = pm_audit.rewards(planted.pm, "q 0", [data.pairs[0].examples[0]])[0]
    assert table["chosen_reward"][0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(RecordError, match=r"must end in \.jsonl"):
        scores.write(tmp_path / "rewards.txt")


def test_python_scans_loaded_objects_and_refuses_what_it_does_not_know(planted, data, cache):
    found = pm_audit.scan(data, planted.pm, planted.sae, cache=cache, candidates=16, ablated=16)
    assert found.data.sampled > 0
    with pytest.raises(InvalidSpec, match="top-gap, stratified, random"):
        pm_audit.scan(data, planted.pm, planted.sae, cache=cache, sampler="best")
    with pytest.raises(InvalidSpec, match="local, ray"):
        pm_audit.score(data, planted.pm, cache=cache, engine="spark")
    with pytest.raises(AuditError, match="list of rows"):
        pm_audit.score({"prompt": "p"}, planted.pm, cache=cache)


def test_the_page_and_the_terminal_show_hostile_texts_and_add_nothing(record):
    plain = Elements(render(record))
    (name,) = {record.data.file}
    feature = record.features[0]
    for hostile in HOSTILE:
        label = feature.label.model_copy(update={"text": hostile})
        firings = tuple(
            one.model_copy(update={"before": hostile, "token": hostile, "others": ()})
            for one in feature.firings
        )
        changed = feature.model_copy(
            update={"label": label, "firings": firings, "promotes": (hostile,)}
        )
        parts = {hostile: record.by_column["part"]}
        harmed = record.model_copy(
            update={"features": (changed, *record.features[1:]), "by_column": parts}
        )
        page = Elements(render(harmed))
        assert page.active == plain.active
        assert "script" not in page.counts or page.counts["script"] == plain.counts["script"]
        assert page.counts.get("img", 0) == 0
        assert page.counts["svg"] == plain.counts["svg"]
        assert "\x1b" not in summary(harmed)
    assert name in render(record).replace("&#60;", "<").replace("&#62;", ">")


def test_the_commands_of_records_show_a_scan(record, tmp_path):
    path = tmp_path / "scan.json"
    record.write(path)
    shown = CliRunner().invoke(main, ["show", str(path)])
    assert shown.output.strip() == summary(record).strip()
    assert CliRunner().invoke(main, ["report", str(path)]).exit_code == 0
    assert path.with_suffix(".html").read_text() == render(record)
    refused = CliRunner().invoke(main, ["report", str(path), "-o", str(tmp_path / "scan.md")])
    assert refused.exit_code == 2
    assert "a scan is written as .json, .html" in refused.output


def test_the_record_is_plain_json(record):
    held = json.loads(record.document())
    assert held["groups"][0]["features"] == list(record.groups[0].features)
    assert len(render(record)) < 2_000_000


def test_a_scan_is_no_audit(record, tmp_path):
    record.write(tmp_path / "scan.json")
    with pytest.raises(RecordError, match=r"record of a scan, .* and holds no hypotheses"):
        pm_audit.read_record(tmp_path / "scan.json")
