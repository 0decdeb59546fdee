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

LIBRARY = Path(__file__).parent / "library" / "dictionary_learning"
RUNS = sorted(path.name for path in LIBRARY.iterdir())


@pytest.mark.parametrize("run", RUNS)
def test_every_class_equals_the_library(run: str) -> None:
    expected = load_file(LIBRARY / run / "expected.safetensors")
    sae = load(LIBRARY / run)
    encoding = sae.encode(expected["stream"])
    assert expected["features"].count_nonzero() > 0
    scale = max(1.0, float(expected["features"].abs().max()))
    torch.testing.assert_close(
        encoding.features / scale, expected["features"] / scale, atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        sae.decode(encoding), expected["reconstruction"], atol=1e-5, rtol=1e-5
    )
    assert (sae.layer, sae.width, sae.hidden_size) == (3, 32, 8)


def test_the_published_file_is_the_gated_class_without_a_configuration(tmp_path: Path) -> None:
    shutil.copy(LIBRARY / "GatedAutoEncoder" / "ae.pt", tmp_path / "ae_layer14.pt")
    expected = load_file(LIBRARY / "GatedAutoEncoder" / "expected.safetensors")
    sae = load(tmp_path / "ae_layer14.pt")
    assert (sae.layer, sae.architecture) == (14, "gated")
    torch.testing.assert_close(
        sae.decode(sae.encode(expected["stream"])), expected["reconstruction"], atol=1e-5, rtol=1e-5
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(LIBRARY / "BatchTopKSAE", folder)
    return folder


def change_trainer(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["trainer"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


def test_an_untrained_threshold_is_refused(copied: Path) -> None:
    weights = torch.load(copied / "ae.pt", weights_only=True)
    torch.save(weights | {"threshold": torch.tensor(-1.0)}, copied / "ae.pt")
    with pytest.raises(SaeError, match="threshold is -1, so it was never trained"):
        load(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dict_class": "CrossCoder"}, "'CrossCoder' does not load: it reads several places"),
        ({"dict_class": "Invented"}, "'Invented' does not load; these do: AutoEncoder"),
        ({"k": 5}, "k is 5 in config.json and 4 in the weights"),
        ({"submodule_name": "mlp_out_layer_3"}, "inner part of a block"),
        ({"dict_class": "GatedAutoEncoder"}, "gate_bias, r_mag, mag_bias are missing"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    copied: Path, changes: dict[str, Any], message: str
) -> None:
    change_trainer(copied, **changes)
    with pytest.raises(SaeError, match=message):
        load(copied)


def test_a_transcoder_is_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config["buffer"] = {"io": "in_and_out"}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(SaeError, match="it is a transcoder"):
        load(copied)


def read_inputs(folder: Path, **trainer: Any) -> None:
    change_trainer(folder, **trainer)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"buffer": {"io": "in"}}))


@pytest.mark.parametrize(
    "place",
    [
        {"submodule_name": None, "layer": 3},
        {"submodule_name": "resid_pre_layer_3", "layer": 3},
        {"submodule_name": "model.layers.3", "layer": 3},
        {"submodule_name": "model.layers.3", "layer": None},
    ],
)
def test_inputs_of_a_block_are_outputs_of_the_one_before(
    copied: Path, place: dict[str, Any]
) -> None:
    read_inputs(copied, **place)
    assert load(copied).layer == 2


@pytest.mark.parametrize("name", ["resid_post_layer_3", "blocks.3.hook_resid_post"])
def test_an_output_that_is_read_as_an_input_is_refused(copied: Path, name: str) -> None:
    read_inputs(copied, submodule_name=name)
    message = rf"an input \(io: in\) and an output \('{name}'\); name the right one: .*@LAYER"
    with pytest.raises(SaeError, match=message):
        load(copied)
    assert load(copied, layer=3).layer == 3


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_meaningless_norm_factor_is_refused(tmp_path: Path, factor: float) -> None:
    folder = tmp_path / "run"
    shutil.copytree(LIBRARY / "interrupted", folder)
    held = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(held | {"norm_factor": factor}, folder / "ae.pt")
    with pytest.raises(SaeError, match="expected a positive number"):
        load(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_biases_of_an_interrupted_run_are_scaled_only_where_they_are_floats(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = tmp_path / "interrupted"
    shutil.copytree(LIBRARY / "interrupted", folder)
    held = torch.load(folder / "ae.pt", weights_only=True)
    held["ae"]["decoder_bias"] = held["ae"]["decoder_bias"].to(dtype)
    torch.save(held, folder / "ae.pt")
    with pytest.raises(SaeError, match=r"decoder_bias is .* quantised weights are not read"):
        load(folder)
