from __future__ import annotations

import json
import pickle
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import SaeFiles, SaeFormat
from pm_audit.loading.saes.registry import load
from pm_audit.loading.saes.weights import Weights
from pm_audit.subject.activation import Relu
from pm_audit.subject.sae import Sae


class Canary:
    """Leaves a file behind if a pickle that holds it is ever run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", ["ae.pt", "ae_layer3.pt", "openai.pt"])
def test_a_pickle_is_never_run(tmp_path: Path, name: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    held = {"ae": Canary(canary), "step": 1}
    torch.save(held, tmp_path / name, pickle_protocol=protocol)
    (tmp_path / "config.json").write_text('{"trainer": {"dict_class": "AutoEncoder"}}')
    with pytest.raises(SaeError, match="nothing of it was run"):
        load(tmp_path / name, layer=1)
    (tmp_path / name).write_bytes(pickle.dumps(held, protocol=protocol))
    with pytest.raises(SaeError, match="nothing of it was run"):
        load(tmp_path / name, layer=1)
    assert not canary.exists()
    # where pickles are trusted the same file does run, so that its silence means something
    pickle.loads((tmp_path / name).read_bytes())
    assert canary.exists()


@pytest.mark.parametrize("weights", ["sae_weights.safetensors", "sae.safetensors"])
def test_weights_that_link_out_of_their_folder_are_not_opened(tmp_path: Path, weights: str) -> None:
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(b"secret")
    folder = tmp_path / "sae"
    folder.mkdir()
    (folder / "cfg.json").write_text('{"metadata": {}}')
    (folder / weights).symlink_to(outside)
    with pytest.raises(SaeError, match="links out of the folder and was not opened"):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a": NaN'])
def test_a_torn_configuration_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "cfg.json").write_text(text)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"torn")
    with pytest.raises(SaeError, match=r"cannot be read as JSON|expected a JSON object"):
        load(tmp_path)


def test_torn_weights_are_one_clear_error(tmp_path: Path) -> None:
    config = {"architecture": "standard", "d_in": 4, "d_sae": 9}
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"metadata": {}}))
    (tmp_path / "sae_weights.safetensors").write_bytes(b"torn")
    with pytest.raises(SaeError, match="cannot be read as safetensors"):
        load(tmp_path, layer=1)


def test_unknown_files_name_the_known_formats(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"these files \(there are none\); .* known: SAELens 6"):
        load(tmp_path)
    (tmp_path / "sae.onnx").write_bytes(b"")
    with pytest.raises(SaeError, match="not an SAE's weights"):
        load(tmp_path / "sae.onnx")


def test_name_and_layer_may_be_spelled_out() -> None:
    folder = Path(__file__).parent / "library" / "sparsify" / "layers.3"
    sae = load(f"mid={folder}@7")
    assert (sae.name, sae.layer) == ("mid", 7)
    assert load(f"{folder}@5").name == "layers.3"
    assert load(f"mid={folder}").layer == 3
    assert load(f"mid={folder}@7", name="mine", layer=0).layer == 0


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match="no such folder or file"):
        load(tmp_path / "absent")


def test_a_release_needs_sae_lens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sae_lens", None)
    with pytest.raises(SaeError, match="pip install sae-lens"):
        load("gpt2-small-res-jb/blocks.8.hook_resid_pre")


def test_an_unknown_release_is_one_clear_error(sae_lens: Any) -> None:
    with pytest.raises(SaeError, match="sae-lens cannot provide it"):
        load("no-such-release/no-such-sae")


def test_a_release_reads_as_its_files_would(
    sae_lens: Any, monkeypatch: pytest.MonkeyPatch, real_stream: torch.Tensor
) -> None:
    torch.manual_seed(2)
    metadata = sae_lens.saes.sae.SAEMetadata(hook_name="blocks.8.hook_resid_pre")
    theirs = sae_lens.StandardSAE(sae_lens.StandardSAEConfig(d_in=16, d_sae=40, metadata=metadata))
    monkeypatch.setattr(sae_lens.SAE, "from_pretrained", lambda *_, **__: theirs)
    ours = load("gpt2-small-res-jb/blocks.8.hook_resid_pre")
    assert (ours.layer, ours.name, len(ours.sha256)) == (7, "blocks.8.hook_resid_pre", 64)
    with torch.no_grad():
        expected = theirs(real_stream)
    torch.testing.assert_close(
        ours.decode(ours.encode(real_stream)), expected, atol=1e-4, rtol=1e-5
    )


def plugged(files: SaeFiles) -> Sae:
    zeros = torch.zeros(3)
    return Sae(
        name=files.name,
        layer=0,
        architecture="mine",
        source=files.source,
        sha256="0" * 64,
        W_enc=torch.zeros(3, 7),
        b_enc=torch.zeros(7),
        W_dec=torch.zeros(7, 3),
        b_dec=zeros,
        activation=Relu(),
    )


MINE = SaeFormat("mine", "`mine.txt`", ("mine",), {}, lambda files: files.has("mine.txt"), plugged)


def test_another_package_adds_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "somewhere:MINE", "pm_audit.saes")
    monkeypatch.setattr(EntryPoint, "load", lambda _: MINE)
    monkeypatch.setattr(
        "pm_audit.extensions.entry_points", lambda group: [point] if group == point.group else []
    )
    (tmp_path / "mine.txt").touch()
    assert load(tmp_path).architecture == "mine"
    monkeypatch.setattr(EntryPoint, "load", lambda _: "not a format")
    with pytest.raises(SaeError, match="is a str, expected SaeFormat"):
        load(tmp_path)


def test_a_format_names_the_matrices_that_no_other_has() -> None:
    weights = Weights({"enc": torch.ones(4, 9), "bias": torch.ones(9)}, source="own")
    with pytest.raises(SaeError, match=r"own: enc is float32 \[4, 9\], expected floats of 16 bits"):
        weights.take("enc", "bias")
    matrix, vector = weights.take("enc", "bias", matrices=["enc"])
    assert (matrix.shape, vector.shape) == ((4, 9), (9,))
    weights.refuse_unread()
