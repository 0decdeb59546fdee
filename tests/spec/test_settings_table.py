from __future__ import annotations

import runpy
from pathlib import Path

from pm_audit.settings_table import SETTINGS
from pm_audit.spec import Settings

ROOT = Path(__file__).parents[2]


def test_the_page_and_the_table_are_what_the_settings_say(tmp_path: Path) -> None:
    main = runpy.run_path(str(ROOT / "docs" / "make_settings.py"))["main"]
    assert main(["--check"]) == 0, "run `make docs-samples`"
    files = main.__globals__["FILES"]
    main.__globals__["FILES"] = {tmp_path / path.name: text for path, text in files.items()}
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_every_setting_is_an_option_with_a_help() -> None:
    assert [setting.name for setting in SETTINGS] == list(Settings.model_fields)
    assert len({setting.option for setting in SETTINGS}) == len(SETTINGS)
    assert all(setting.help.endswith((".", ")")) for setting in SETTINGS)
