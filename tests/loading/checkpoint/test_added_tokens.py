from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load

HOSTILE = ["\x1b[31mred", "a\n::error::x", "##[error]x", "\u202eback", "", "x" * 100]


@pytest.mark.parametrize("option", HOSTILE, ids=ascii)
@pytest.mark.parametrize("place", ["added_tokens_decoder", "eos_token"])
def test_options_of_a_token_that_are_no_names_are_refused_before_they_are_printed(
    save_classifier: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    place: str,
    option: str,
) -> None:
    folder = save_classifier("llama")
    file = folder / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(file.read_text())
    token = {"content": "<extra>", "special": True, option: True}
    config[place] = (
        {"5": token}
        if place == "added_tokens_decoder"
        else {
            "__type": "AddedToken",
            **token,
        }
    )
    file.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="which is not the name of one; remove it") as refused:
        load(str(folder), text_format="raw")
    assert str(refused.value).isprintable()
    assert capfd.readouterr().out == ""
