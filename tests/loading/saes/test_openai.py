from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pm_audit.errors import SaeError
from pm_audit.loading.saes.registry import load

HIDDEN, LATENT, K = 16, 48, 6
TOPK = {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}}


def write(path: Path, **changes: Any) -> dict[str, Any]:
    noise = torch.Generator().manual_seed(8)
    state = {
        "pre_bias": torch.randn(HIDDEN, generator=noise),
        "latent_bias": torch.randn(LATENT, generator=noise),
        "encoder.weight": torch.randn(LATENT, HIDDEN, generator=noise),
        "decoder.weight": torch.randn(HIDDEN, LATENT, generator=noise),
        "stats_last_nonzero": torch.zeros(LATENT, dtype=torch.long),
        "activation": "ReLU",
    } | changes
    path.parent.mkdir(exist_ok=True)
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    return state


def test_topk_standardises_each_token(tmp_path: Path, real_stream: torch.Tensor) -> None:
    state = write(tmp_path / "ae.pt", **TOPK)
    sae = load(tmp_path / "ae.pt", layer=8)
    for token in real_stream:
        mean, deviation = token.mean(), token.std()
        pre = state["encoder.weight"] @ ((token - mean) / (deviation + 1e-5) - state["pre_bias"])
        pre = pre + state["latent_bias"]
        features = torch.zeros(LATENT)
        for index in pre.argsort(descending=True)[:K]:
            features[index] = max(pre[index], torch.tensor(0.0))
        expected = (state["decoder.weight"] @ features + state["pre_bias"]) * deviation + mean
        encoding = sae.encode(token[None])
        torch.testing.assert_close(encoding.features[0], features, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(sae.decode(encoding)[0], expected, atol=1e-4, rtol=1e-5)


def test_relu_does_not(tmp_path: Path, real_stream: torch.Tensor) -> None:
    state = write(tmp_path / "ae.pt")
    sae = load(tmp_path / "ae.pt", layer=8)
    pre = (real_stream - state["pre_bias"]) @ state["encoder.weight"].T + state["latent_bias"]
    encoding = sae.encode(real_stream)
    torch.testing.assert_close(encoding.features, pre.clamp_min(0), atol=1e-4, rtol=1e-5)
    assert encoding.offset is None


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        ("ae.pt", {"activation": "Identity"}, "features are signed"),
        (
            "ae.pt",
            {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "Identity"}},
            "activation Identity is refused: its features are signed",
        ),
        ("ae.pt", {"activation": "Softplus"}, "does not load; use an SAE with ReLU or TopK"),
        ("ae.pt", {"latent_bias": None}, "weights latent_bias are missing"),
        ("resid_delta_mlp/ae.pt", {}, "a part of a block"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    tmp_path: Path, place: str, changes: dict[str, Any], message: str
) -> None:
    write(tmp_path / place, **changes)
    with pytest.raises(SaeError, match=message):
        load(tmp_path / place, layer=8)


def test_the_layer_must_be_named(tmp_path: Path) -> None:
    write(tmp_path / "ae.pt")
    with pytest.raises(SaeError, match="do not say which layer"):
        load(tmp_path / "ae.pt")
