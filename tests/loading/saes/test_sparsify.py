from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pm_audit.errors import SaeError
from pm_audit.loading.saes.registry import load

LIBRARY = Path(__file__).parent / "library" / "sparsify"
LAYERS = {"layers.3": 3, "gpt_neox.layers.5": 5, "transformer.h.2": 2}


@pytest.mark.parametrize("hookpoint", LAYERS)
def test_every_kind_equals_the_library(hookpoint: str) -> None:
    expected = load_file(LIBRARY / hookpoint / "expected.safetensors")
    sae = load(LIBRARY / hookpoint)
    encoding = sae.encode(expected["stream"])
    assert sae.layer == LAYERS[hookpoint]
    torch.testing.assert_close(encoding.features, expected["features"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        sae.decode(encoding), expected["reconstruction"], atol=1e-5, rtol=1e-5
    )


def test_a_library_transcoder_is_refused() -> None:
    with pytest.raises(SaeError, match="transcode is set: a transcoder"):
        load(LIBRARY / "layers.1.mlp")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_in": 16}, "the config belongs to other weights"),
        ({"k": 0}, "k is 0, expected 1 to 32"),
        ({"activation": "relu"}, "expected one of topk, groupmax"),
        ({"activation": "groupmax", "k": 5}, "expected one of topk, groupmax"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = tmp_path / "layers.3"
    shutil.copytree(LIBRARY / "layers.3", folder)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | changes))
    with pytest.raises(SaeError, match=message):
        load(folder)
