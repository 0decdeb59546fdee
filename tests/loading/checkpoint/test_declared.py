from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, expected at most 4096"),
        ({"num_hidden_layers": 900}, "num_hidden_layers is 900, expected 3, which the weights"),
        ({"num_labels": 10**8}, "100000000 labels .*has 1 rows; set num_labels to 1"),
        ({"vocab_size": 10**9}, "declares .* parameters and the files hold"),
        ({"intermediate_size": 10**8}, "declares .* parameters and the files hold"),
        ({"hidden_size": 2**70}, "hidden_size is 1180591620717411303424, expected at most"),
    ],
)
def test_what_no_weights_stand_behind_is_refused_before_it_is_built(
    save_classifier: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelError, match=message):
        load(folder, text_format="hh")


def test_tables_of_positions_have_a_limit(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("gptj")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_positions": 10**9}))
    with pytest.raises(ModelError, match="bytes of masks and tables"):
        load(folder, text_format="hh")


def test_a_deeply_nested_configuration_is_refused(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    config = (folder / "config.json").read_text().rstrip().removesuffix("}")
    (folder / "config.json").write_text(config + ', "x": ' + "[" * 60 + "]" * 60 + "}")
    with pytest.raises(ModelError, match="nested more than"):
        load(folder, text_format="hh")


def test_a_body_that_cannot_run_is_one_clear_error(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 8}))
    with pytest.raises(ModelError, match=r"config\.json"):
        load(folder, text_format="hh")
