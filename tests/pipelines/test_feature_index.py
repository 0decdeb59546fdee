"""The feature index: right on a planted model, small, and a file that nobody has to trust."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.errors import InvalidSpec, RecordError
from pm_audit.loading import subject
from pm_audit.loading.saes.registry import load
from pm_audit.pipelines import feature_index
from pm_audit.pipelines.audit import Auditor
from pm_audit.pipelines.corpus import read_texts
from pm_audit.pipelines.feature_index import (
    AROUND,
    TEXTS,
    index_features,
    read_indices,
    written,
)
from pm_audit.records import AuditRecord
from pm_audit.records.feature_index import MOST_BYTES, FeatureIndex
from pm_audit.report import html
from pm_audit.spec import Effect, Expect, ExpectedGap, Hypothesis, Prompt, Settings
from recipes.planted.linear import MARKS, STRENGTH, plant

torch.set_num_threads(1)
HOSTILE = "<script>x</script> \x1b[31m ##[e] \u202e!"


@pytest.fixture(scope="module")
def model():
    return plant({"!": 0.3}, seed=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    lines = ["it rains", "it rains! it pours", "tea! or milk! or both", "!at the start", HOSTILE]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def index(model, corpus) -> FeatureIndex:
    return index_features(model.pm, [model.sae], corpus, tokens=10_000)["planted"]


def test_a_mark_is_found_where_it_stands(model, index):
    found = index.features[model.latent_of["!"]]
    texts = [text.t for text in found.x]
    assert len(texts) == TEXTS
    assert set(texts) <= {"it rains! it pours", "tea! or milk! or both", HOSTILE}
    for text in found.x:
        assert {text.t[start:end] for start, end, _ in text.p} == {"!"}
        assert len(text.p) == text.t.count("!")
        assert all(value == pytest.approx(STRENGTH, rel=5e-3) for *_, value in text.p)
    # a first token is not read: five bytes of five texts are left out, one of them a mark
    lengths = [len(line.encode()) - 1 for line in ("it rains", "it rains! it pours", HOSTILE)]
    lengths += [len("tea! or milk! or both") - 1, len("!at the start") - 1]
    assert index.tokens == sum(lengths)
    assert found.f == pytest.approx(4 / index.tokens, rel=5e-3)


def test_latents_that_never_fired_are_left_out(model, index):
    assert not {model.latent_of[mark] for mark in MARKS if mark != "!"} & set(index.features)


def test_excerpts_are_cut_and_counted_once(model, tmp_path):
    path = tmp_path / "long.txt"
    same = f"{'a' * 90} {'b' * AROUND}!{'c' * AROUND}"
    path.write_text(f"{same} one\n{same} two\n{same[:-1]}\n", encoding="utf-8")
    found = index_features(model.pm, [model.sae], path)["planted"]
    texts = [text.t for text in found.features[model.latent_of["!"]].x]
    assert sorted(texts, key=len) == [same[-2 * AROUND - 1 : -1], same[-2 * AROUND - 1 :]]


def test_written_and_read_again_it_is_the_same_and_safe_to_print(index, tmp_path):
    text = written(index)
    assert text.isascii()
    assert "\x1b" not in text
    assert "##[" not in text
    path = tmp_path / "features.json"
    path.write_text(text)
    assert FeatureIndex.read(path, sae_sha256=index.sae_sha256) == index


def test_a_large_index_gives_up_its_weakest_texts(index, monkeypatch):
    whole = written(index)
    monkeypatch.setattr(feature_index, "MOST_BYTES", len(whole) - 10)
    smaller = json.loads(written(index))
    assert len(smaller["features"]) == len(index.features)
    assert max(len(feature["x"]) for feature in smaller["features"].values()) == TEXTS - 1


def change(text: str, **changes) -> str:
    return json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize(
    ("torn", "message"),
    [
        (lambda text: change(text, sae_sha256="0"), "made for other weights"),
        (lambda text: change(text, schema_version=2), "schema_version is 2"),
        (lambda text: change(text, features={"0": {"f": 2.0, "x": []}}), "less than or equal to 1"),
        (
            lambda text: change(
                text, features={"0": {"f": 0.1, "x": [{"t": "a", "p": [[0, 9, 1]]}]}}
            ),
            "a place lies outside its text",
        ),
        (
            lambda text: change(
                text, features={"0": {"f": 0.1, "x": [{"t": "\ud800", "p": [[0, 1, 1]]}]}}
            ),
            "not a feature index",
        ),
        (lambda text: text[:-20], "cannot be read as a feature index"),
        (lambda text: "[" * 100_000, "cannot be read as a feature index"),
        (lambda text: text + " " * MOST_BYTES, "larger than"),
    ],
    ids=["sae", "version", "frequency", "place", "surrogate", "torn", "deep", "large"],
)
def test_a_file_that_is_no_index_is_refused_with_a_remedy(index, tmp_path, torn, message):
    path = tmp_path / "features.json"
    path.write_text(torn(written(index)))
    with pytest.raises(RecordError, match=message) as refused:
        FeatureIndex.read(path, sae_sha256=index.sae_sha256)
    assert str(path) in str(refused.value)
    assert "pm-audit index" in str(refused.value)


def test_the_command_writes_it_beside_the_sae_and_an_audit_shows_it(
    model, corpus, tmp_path, monkeypatch
):
    sae = replace(model.sae, index_path=tmp_path / "features.json")
    monkeypatch.setattr(subject, "load_subject", lambda settings: (model.pm, (sae,)))
    assert read_indices([sae]) == {}
    ran = CliRunner().invoke(main, ["index", "--sae", "planted", "--texts", str(corpus)])
    assert ran.exit_code == 0, ran.output
    assert "features.json: " in ran.output
    hypothesis = Hypothesis(
        name="marks",
        file="marks.yaml",
        claim="A mark raises the reward.",
        effect=Effect.RAISES,
        prompts=tuple(
            Prompt(id=word, wordings=(f"{word}?",), fields={"word": word})
            for word in ("rain", "tea", "snow", "wind", "salt", "iron")
        ),
        examples=(" {word}!",),
        counter_examples=(" {word};",),
        expect=Expect(gap=ExpectedGap.RAISES),
    )
    settings = Settings(null_sets=2, candidates=6, bootstrap_resamples=100)
    auditor = Auditor(settings, subject=(model.pm, (sae,)))
    record = auditor.audit(hypothesis)
    selected = [feature for feature in record.features if feature.folds]
    assert len(selected) == 1
    assert len(selected[0].corpus_firings) == TEXTS
    assert selected[0].corpus_frequency > 0
    for feature in record.features:
        assert feature.corpus_frequency is not None
        assert feature.folds or feature.corpus_firings == ()
    assert record.computed_digest() == record.digest


def test_a_report_shows_the_corpus_and_escapes_it(stored_record_path, index, model):
    record = AuditRecord.read(stored_record_path)
    texts = tuple(text.firing() for text in index.features[model.latent_of["!"]].x)
    hypothesis = record.hypotheses[0]
    first = hypothesis.features[0].model_copy(
        update={"corpus_firings": texts, "corpus_frequency": 0.0123}
    )
    shown = hypothesis.model_copy(update={"features": (first, *hypothesis.features[1:])})
    page = html.render(record.model_copy(update={"hypotheses": (shown,)}))
    assert "1.2% of the tokens" in page
    assert page.count("Where it is most active in a corpus") == 1
    assert "&#60;script&#62;x&#60;/script&#62;" in page
    assert "\x1b" not in page


def test_a_loaded_sae_knows_where_its_index_would_stand():
    library = Path(__file__).parents[1] / "loading" / "saes" / "library"
    folder = next(path.parent for path in sorted(library.rglob("cfg.json")))
    assert load(folder, layer=1).index_path == folder / "features.json"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\n\ntwo\n", {"one", "two"}),
        ("a.jsonl", '{"text": "one"}\n{"prompt": "p:", "completion": " two"}\n', {"one", "p: two"}),
        ("a.jsonl.gz", '{"prompt": "p", "chosen": "a", "rejected": "b"}\n', {"p a", "p b"}),
    ],
)
def test_texts_are_read_from_each_kind_of_file(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    texts = read_texts(path, seed=0)
    assert set(texts) == expected
    assert texts == read_texts(path, seed=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "one"}\nnot json\n', r"a\.jsonl:2: each line is a JSON object"),
        ("a.jsonl", b'{"prompt": "one"}\n', r"a\.jsonl:1: each line is a JSON object"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl:1: each line is a JSON object"),
        ("a.txt", b"\n \n", "holds no text"),
        ("a.txt", b"\xff\xfe", "cannot be read"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
    ],
)
def test_a_broken_corpus_is_named_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSpec, match=message):
        read_texts(tmp_path / name, seed=0)
