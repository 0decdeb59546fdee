from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Gemma2Model, PreTrainedTokenizerFast

from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import preflight, require

ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]
OBJECTIVES = 3


class Networks(nn.Module):
    """A state dict with the names that the model's own code writes."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.network = nn.Sequential(*parts)


@pytest.fixture
def ldl(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> Callable[..., tuple[Path, torch.Tensor]]:
    def write(**described: Any) -> tuple[Path, torch.Tensor]:
        torch.manual_seed(11)
        config = tiny_config("gemma2")
        body = Gemma2Model(config).eval()
        for parameter in body.parameters():
            nn.init.normal_(parameter, std=0.3)
        regression = Networks(
            *(nn.Linear(32, 16), nn.LeakyReLU(), nn.Linear(16, 16), nn.LeakyReLU()),
            nn.Linear(16, 10 * OBJECTIVES),
        )
        gating = Networks(
            *(nn.Linear(32, 16), nn.LeakyReLU(), nn.Dropout(0.5)),
            *(nn.Linear(16, 16), nn.LeakyReLU(), nn.Dropout(0.5)),
            nn.Linear(16, OBJECTIVES),
        ).eval()
        folder = tmp_path / "ldl"
        body.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        torch.save(regression.state_dict(), folder / "regression_layer.pt")
        torch.save(gating.state_dict(), folder / "gating_layer.pt")
        written = json.loads((folder / "config.json").read_text())
        written |= {"architectures": ["LDLRewardModel27B"]} | described
        (folder / "config.json").write_text(json.dumps(written))
        scores = []
        with torch.inference_mode():
            for row in ROWS:
                state = body(torch.tensor([row])).last_hidden_state[:, -1]
                shares = regression.network(state).view(1, OBJECTIVES, 10).softmax(dim=-1)
                weights = gating.network(state)
                if described.get("softmax"):
                    weights = (weights / described["temperature"]).softmax(dim=1)
                mixed = torch.bmm(weights[:, None], shares)[0, 0]
                scores.append((mixed * torch.linspace(0, 1, 10)).sum())
        return folder, torch.stack(scores)

    return write


@pytest.mark.parametrize("described", [{}, {"softmax": True, "temperature": 0.3}])
def test_the_score_is_the_published_one(
    ldl: Callable[..., tuple[Path, torch.Tensor]], described: dict[str, Any]
) -> None:
    folder, expected = ldl(**described)
    model = load(folder)
    assert expected.std() > 1e-3
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(model, ROWS, batch_size=batch_size, padding=padding)
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    require(preflight(model), name="ldl")


def test_the_hash_is_of_the_networks_too(ldl: Callable[..., tuple[Path, torch.Tensor]]) -> None:
    folder, _ = ldl()
    before = load(folder).sha256
    held = torch.load(folder / "gating_layer.pt", weights_only=True)
    torch.save({key: value * 2 for key, value in held.items()}, folder / "gating_layer.pt")
    assert load(folder).sha256 != before


def test_what_cannot_be_scored_is_refused(ldl: Callable[..., tuple[Path, torch.Tensor]]) -> None:
    folder, _ = ldl()
    with pytest.raises(ModelError, match="this PM has only one, without a name"):
        load(folder, objective="helpfulness")
    path = folder / "gating_layer.pt"
    held = torch.load(path, weights_only=True)
    for changed, message in (
        (
            held | {"network.6.weight": torch.ones(2, 16), "network.6.bias": torch.ones(2)},
            "10 bins",
        ),
        (held | {"network.0.weight": torch.ones(16, 31)}, "does not fit a body of width 32"),
        (held | {"network.0.bias": torch.full((16,), torch.nan)}, "holds NaN or infinite"),
        ({"gate.weight": torch.ones(1)}, "neither one linear layer nor numbered ones"),
    ):
        torch.save(changed, path)
        with pytest.raises(ModelError, match=message):
            load(folder)
    path.unlink()
    with pytest.raises(ModelError, match=r"lacks gating_layer\.pt; fetch it"):
        load(folder)


def test_a_pickle_is_never_run(
    ldl: Callable[..., tuple[Path, torch.Tensor]], tmp_path: Path
) -> None:
    canary = tmp_path / "canary"

    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (canary,))

    folder, _ = ldl()
    torch.save({"network.0.weight": Canary()}, folder / "regression_layer.pt")
    with pytest.raises(ModelError, match="nothing of it was run"):
        load(folder)
    assert not canary.exists()
    # the same file does run where pickles are trusted, so that the test above means something
    torch.load(folder / "regression_layer.pt", weights_only=False)
    assert canary.exists()
