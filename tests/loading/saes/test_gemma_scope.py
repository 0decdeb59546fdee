from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pm_audit.errors import SaeError
from pm_audit.loading.saes.registry import load

HIDDEN, LATENT = 16, 48
FOLDER = Path("layer_20") / "width_16k" / "average_l0_71"


def write(folder: Path, **changes: Any) -> dict[str, np.ndarray[Any, Any]]:
    noise = np.random.default_rng(3)
    arrays = {
        "W_enc": noise.normal(size=(HIDDEN, LATENT)),
        "W_dec": noise.normal(size=(LATENT, HIDDEN)),
        "b_enc": noise.normal(size=LATENT),
        "b_dec": noise.normal(size=HIDDEN),
        "threshold": noise.uniform(size=LATENT),
    } | changes
    arrays = {key: value.astype(np.float32) for key, value in arrays.items()}
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **arrays)
    return arrays


@pytest.mark.parametrize("named", ["folder", "file"])
def test_equals_jumprelu_of_sae_lens(
    sae_lens: Any, tmp_path: Path, real_stream: torch.Tensor, named: str
) -> None:
    arrays = write(tmp_path / FOLDER)
    theirs = sae_lens.JumpReLUSAE(
        sae_lens.JumpReLUSAEConfig(d_in=HIDDEN, d_sae=LATENT, apply_b_dec_to_input=False)
    )
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    ours = load(tmp_path / FOLDER / ("" if named == "folder" else "params.npz"))
    with torch.no_grad():
        features = theirs.encode(real_stream)
        expected = theirs.decode(features)
    encoding = ours.encode(real_stream)
    assert ours.layer == 20
    torch.testing.assert_close(encoding.features, features, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.decode(encoding), expected, atol=1e-3, rtol=1e-5)


def test_a_folder_that_names_no_layer_needs_one(tmp_path: Path) -> None:
    write(tmp_path / "downloaded")
    with pytest.raises(SaeError, match="do not say which layer"):
        load(tmp_path / "downloaded")
    assert load(tmp_path / "downloaded", layer=9).layer == 9


@pytest.mark.parametrize("place", ["transcoder", "mlp", "attn", "crosscoder"])
def test_other_places_are_refused(tmp_path: Path, place: str) -> None:
    folder = tmp_path / f"gemma-scope-2b-{place}" / FOLDER
    write(folder)
    with pytest.raises(SaeError, match=f"the folder says {place}"):
        load(folder)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", W_enc=np.array([object()], dtype=object))
    with pytest.raises(SaeError, match="cannot be read as plain numpy arrays"):
        load(folder)


def test_a_square_one_is_refused(tmp_path: Path) -> None:
    square = np.eye(LATENT)
    write(tmp_path / FOLDER, W_enc=square, W_dec=square, b_dec=np.zeros(LATENT))
    with pytest.raises(SaeError, match="orientation is ambiguous"):
        load(tmp_path / FOLDER)
