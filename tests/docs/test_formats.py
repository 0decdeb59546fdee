from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pm_audit.loading.pms.registry import BUILT_IN as FAMILIES
from pm_audit.loading.saes.registry import BUILT_IN as FORMATS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_formats", DOCS / "make_formats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_registries_say(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0, "run python docs/make_formats.py"


def test_every_family_and_refusal_stands_on_the_page(generator: ModuleType) -> None:
    page = generator.page()
    for row in (*FAMILIES, *FORMATS):
        assert f"| **{row.name}** |" in page
        assert all(reason in page for reason in row.refuses.values())


def test_a_stale_page_is_told(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "PAGE", tmp_path / "formats.md")
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
