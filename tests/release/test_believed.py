"""A record that decides a release is whole, as it was written, and follows from its evidence."""

from __future__ import annotations

import json
import os

import pytest

from pm_audit.errors import AuditError, RecordError
from pm_audit.records import Outcome, PlaceboEvidence
from pm_audit.release import read_believed


@pytest.fixture
def written(judged, tmp_path):
    """Return a writer of the judged record with the change that is given."""

    def write(**update):
        path = tmp_path / "record.json"
        judged.model_copy(update=update).write(path)
        return path

    return write


def test_a_sound_record_is_believed(judged, written):
    assert read_believed(written()) == judged


def forged(judged, **update):
    first = judged.hypotheses[0].model_copy(update=update)
    return (first.sealed(), *judged.hypotheses[1:])


def test_a_forgery_with_new_digests_is_refused(judged, tmp_path):
    first = judged.hypotheses[0]
    gap = first.gap_sigma.model_copy(update={"value": first.gap_sigma.value - 3})
    checks = tuple(one.model_copy(update={"outcome": Outcome.FAIL}) for one in first.checks)
    for update in ({"gap_sigma": gap}, {"checks": checks}, {"q_value": 0.9}):
        record = judged.model_copy(update={"hypotheses": forged(judged, **update)}).sealed()
        record.write(tmp_path / "forged.json")
        with pytest.raises(RecordError, match="does not follow from its own evidence") as caught:
            read_believed(tmp_path / "forged.json")
        assert next(iter(update)) in str(caught.value)


@pytest.mark.parametrize("blank", ["", " ", None])
def test_a_blank_or_missing_digest_is_refused(judged, tmp_path, blank):
    for place in ("whole", "hypothesis"):
        tree = json.loads(judged.model_dump_json())
        holder = tree if place == "whole" else tree["hypotheses"][0]
        if blank is None:
            del holder["digest"]
        else:
            holder["digest"] = blank
        path = tmp_path / "record.json"
        path.write_text(json.dumps(tree))
        with pytest.raises(RecordError, match="or holds no digest"):
            read_believed(path)


def test_what_cannot_be_judged_again_is_refused(judged, tmp_path):
    expect = judged.hypotheses[0].expect | {"closure": 7}
    record = judged.model_copy(update={"hypotheses": forged(judged, expect=expect)}).sealed()
    record.write(tmp_path / "torn.json")
    with pytest.raises(RecordError, match=r"torn\.json: cannot be judged again: .*`expect`"):
        read_believed(tmp_path / "torn.json")


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "long", "surrogate", "nul"])
def test_what_is_no_record_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "record.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path = tmp_path / {"long": "x" * 300, "surrogate": "\ud800", "nul": "\0"}[kind]
    with pytest.raises(RecordError, match=r"not a regular file|cannot be read as a record"):
        read_believed(path)


@pytest.mark.parametrize(
    "text", ['"\\ud800"', "NaN", "1e999", "-Infinity", "1" * 400, "[" * 100_000]
)
def test_what_is_no_plain_json_is_refused(judged, tmp_path, text):
    path = tmp_path / "record.json"
    whole = judged.model_dump_json()
    path.write_text(whole.replace('"created":', f'"environment_": {text}, "created":', 1))
    with pytest.raises(RecordError):
        read_believed(path)
    if text == '"\\ud800"':
        path.write_text(whole.replace('"environment":{', f'"environment":{{"a": {text},', 1))
        with pytest.raises(RecordError, match="lone surrogate"):
            read_believed(path)


@pytest.mark.parametrize(
    ("update", "because"),
    [
        ({"sigma": 1e-320}, "sigma is"),
        ({"noise": 1e300}, "noise floor is"),
        ({"placebos": (PlaceboEvidence(gap=(), gap_after=(), selected=()),)}, "a placebo has 0"),
        (
            {"placebos": (PlaceboEvidence(gap=(1e308,) * 10, gap_after=(1.0,) * 10, selected=()),)},
            "a placebo holds a number that is not finite",
        ),
    ],
)
def test_evidence_that_overflows_or_is_torn_is_refused(judged, tmp_path, update, because):
    evidence = judged.hypotheses[0].evidence.model_copy(update=update)
    record = judged.model_copy(update={"hypotheses": forged(judged, evidence=evidence)}).sealed()
    record.write(tmp_path / "record.json")
    with pytest.raises(AuditError, match=because):
        read_believed(tmp_path / "record.json")
