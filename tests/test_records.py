import importlib.metadata
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pm_audit import __version__, records
from pm_audit.errors import NumericalError, RecordError
from pm_audit.pipelines.described import describe_environment
from pm_audit.records import AuditRecord, Feature, Figure, SubjectRecord, Unit, atomic
from pm_audit.spec import Settings, method_of
from recipes.train.unfinished import versions


@pytest.fixture
def record():
    return AuditRecord(
        created="2026-01-01T00:00:00Z",
        complete=False,
        subject=SubjectRecord(
            pm="tiny",
            pm_sha256="0",
            tokenizer_sha256="0",
            text_format="hh",
            objective=None,
            dtype="float32",
            device="cpu",
            layers=2,
            hidden_size=8,
            saes=(),
        ),
        method=method_of(Settings(), quadrature="midpoint"),
        environment={"completion": "\x1b[31m::error::\ud7ff\u2028"},
        manifest=(),
        hypotheses=(),
    )


def test_a_record_comes_back_as_it_was_written(record, tmp_path):
    path = tmp_path / "deep" / "er" / "record.json"
    record.write(path)
    assert AuditRecord.read(path) == record
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_packages_that_were_never_installed_cost_no_verdict(monkeypatch):
    """The code may run from a folder on the path, where no package has metadata."""
    installed = describe_environment()
    assert installed["numpy"] == importlib.metadata.version("numpy")

    def nothing_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", nothing_installed)
    bare = describe_environment()
    assert bare.keys() == installed.keys()
    assert bare["numpy"] == "unknown"
    assert bare["pm-audit"] == installed["pm-audit"] == __version__
    assert versions()["pm-audit"] == __version__


def test_writing_leaves_the_old_file_or_the_new_one(record, tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    record.write(path)
    before = path.read_text(encoding="utf-8")

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(RecordError, match="no space"):
        record.model_copy(update={"complete": True}).write(path)
    assert path.read_text(encoding="utf-8") == before
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "record.json"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (left,) = tmp_path.iterdir()
    other = tmp_path / f".other.json{left.name.removeprefix('.record.json')}"
    other.write_text("of another file")
    mine = tmp_path / ".record.json.original"
    mine.write_text("of a person")
    records.write_atomically(path, "new")
    assert sorted(tmp_path.iterdir()) == sorted([path, other, mine])
    assert path.read_text() == "new"


KILLED = """
import os, signal, sys
from pathlib import Path
from pm_audit.records import atomic
atomic.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
atomic.write_atomically(Path(sys.argv[1]), "torn")
"""


def test_the_file_of_a_live_writer_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    flush = os.fsync

    def second(descriptor: int) -> None:
        monkeypatch.setattr(atomic.os, "fsync", flush)
        records.write_atomically(path, "second")
        flush(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", second)
    records.write_atomically(path, "first, which ends last")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["first, which ends last"]


def test_a_writer_whose_file_was_taken_for_left_over_makes_another(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    lock, taken = atomic._lock, []

    def late(stream, **options):
        if not taken:
            taken.append(stream.name)
            Path(stream.name).unlink()
        return lock(stream, **options)

    monkeypatch.setattr(atomic, "_lock", late)
    records.write_atomically(path, "whole")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["whole"]


def test_only_regular_files_are_replaced(tmp_path):
    device = tmp_path / "device"
    os.mkfifo(device)
    (tmp_path / "closed").symlink_to("nowhere/at/all")
    (tmp_path / "file").write_text("")
    for path in (device, tmp_path, tmp_path / "closed", tmp_path / "file" / "below"):
        for write in (records.require_writable, lambda path: records.write_atomically(path, "")):
            with pytest.raises(RecordError, match="name another"):
                write(path)
    assert device.is_fifo()
    records.require_writable(tmp_path / "not" / "there" / "yet.json")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["closed", "device", "file"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_figure_is_finite(number):
    with pytest.raises(NumericalError, match="overflow"):
        Figure(value=number, unit=Unit.REWARD)
    with pytest.raises(NumericalError):
        Figure(value=0.0, low=number, unit=Unit.REWARD)


def test_results_are_frozen_and_closed():
    figure = Figure(value=1.0, unit=Unit.SHARE)
    with pytest.raises(ValidationError):
        figure.value = 2.0
    with pytest.raises(ValidationError):
        Figure(value=1.0, unit=Unit.SHARE, colour="red")


def test_a_feature_is_written_as_sae_and_index():
    assert str(Feature(sae="mid", layer=6, index=812)) == "mid/812"


def test_a_missing_record_says_what_writes_one(tmp_path):
    with pytest.raises(RecordError, match="pytest --pm-audit"):
        AuditRecord.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema_version": 0}', "\x00", "null", "[" * 100_000]
)
def test_a_torn_record_is_an_error_and_no_traceback(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"record\.json"):
        AuditRecord.read(path)


def test_a_record_of_another_shape_is_an_error(record, tmp_path):
    path = tmp_path / "record.json"
    tree = json.loads(record.model_dump_json())
    tree["method"]["seed"] = "lucky"
    path.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(RecordError, match="seed"):
        AuditRecord.read(path)


def test_a_record_that_holds_nan_is_an_error(record, tmp_path):
    path = tmp_path / "record.json"
    tree = json.loads(record.model_dump_json())
    tree["method"]["collateral_penalty"] = math.nan
    path.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises((RecordError, NumericalError)):
        AuditRecord.read(path)


def test_a_record_of_an_older_schema_says_why_and_what_to_do(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text('{"schema_version": 2}', encoding="utf-8")
    with pytest.raises(RecordError, match=r"reads 3, whose .* and for a baseline with"):
        AuditRecord.read(path)


def test_this_schema_is_the_one_that_is_written(record):
    assert json.loads(record.model_dump_json())["schema_version"] == records.SCHEMA_VERSION


@pytest.mark.parametrize(
    "name",
    [
        "x" * 300,
        "new/" + "x" * 300 + "/record.json",
        "é" * 130,
        "\ud800",
        "new/\ud800/record.json",
        "\0",
    ],
    ids=["long", "long folder", "long in bytes", "surrogate", "surrogate folder", "nul"],
)
def test_a_name_that_no_disk_takes_is_refused_before_anything_is_made(tmp_path, name):
    for write in (records.require_writable, lambda path: records.write_atomically(path, "")):
        with pytest.raises(RecordError):
            write(tmp_path / name)
    assert name.startswith("new") or list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path):
    for name in ("x" * 255, "\U0001f600" * 63):
        records.require_writable(tmp_path / name)
        records.write_atomically(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


def test_lines_of_keys_are_optional_and_leave_older_digests_alone(stored_record_path):
    (one, *_) = AuditRecord.read(stored_record_path).hypotheses
    assert one.lines == {}
    assert one.line_of("expect.closure") == one.line
    with_lines = one.model_copy(update={"lines": {"expect": 14, "expect.closure": 16}})
    assert with_lines.line_of("expect.closure") == 16
    assert with_lines.line_of("expect.collateral") == 14
    assert with_lines.line_of("severity") == one.line
    assert with_lines.computed_digest() != one.computed_digest()
    assert '"lines"' not in one.model_dump_json(exclude_defaults=True)
