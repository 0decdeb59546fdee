"""LDL-Reward: a distribution over bins of the score for each objective, and a gate on them.

Both read the last token.  ``regression_layer.pt`` gives each objective the logits of ten bins,
which stand at equal steps from 0 to 1; ``gating_layer.pt`` weighs the objectives.  The score is
the weighted sum of the expected bins: a nonlinear head on one state.
"""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.files import confined, sha256
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.stored import read_pickle
from pm_audit.loading.pms.bare_backbone import body_config, load_with_head
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.subject.preference_model import PreferenceModel

REGRESSION, GATING = "regression_layer.pt", "gating_layer.pt"
BINS = 10
_LAYER = re.compile(r"network\.(\d{1,4})\.")


class DistributionHead(nn.Module):
    """Reward is the expected bin of each objective, weighed by a gate on the same state."""

    def __init__(
        self, regression: nn.Module, gating: nn.Module, *, softmax: bool, temperature: float
    ) -> None:
        super().__init__()
        self.regression, self.gating = regression, gating
        self.softmax, self.temperature = softmax, temperature

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row]."""
        weights = self.gating(hidden)
        if self.softmax:
            weights = (weights / self.temperature).softmax(dim=-1)
        shares = self.regression(hidden).unflatten(-1, (-1, BINS)).softmax(dim=-1)
        bins = torch.linspace(0, 1, BINS, device=hidden.device)
        rewards: Tensor = (weights * (shares @ bins)).sum(dim=-1)
        return rewards


def _load(request: Request) -> PreferenceModel:
    checkpoint, options = request.checkpoint, request.checkpoint.options
    request.refuse_objective()
    files = [_file(checkpoint, name) for name in (REGRESSION, GATING)]
    config = body_config(checkpoint)
    head = DistributionHead(
        *(_network(checkpoint, path) for path in files),
        softmax=options.flag("softmax", default=False),
        temperature=options.number("temperature", 1.0, positive=True),
    )
    _refuse_misfit(head, int(config.hidden_size), checkpoint)
    # the hash of the body, its configuration, and both networks
    digest = hashlib.sha256(f"{checkpoint.sha256()}{sha256(files)}".encode()).hexdigest()
    return load_with_head(request, head, config, head_names=(), sha256=digest)


def _file(checkpoint: Checkpoint, name: str) -> Path:
    path = confined(checkpoint.folder, name, error=ModelError)
    if not path.is_file():
        raise ModelError(f"{checkpoint.name}: the checkpoint lacks {name}; fetch it")
    return path


def _network(checkpoint: Checkpoint, path: Path) -> nn.Sequential:
    """Return linear layers with leaky ReLU between them; dropout has no weights and is left out."""
    held = read_pickle(path)
    numbers = sorted({int(found[1]) for key in held if (found := _LAYER.match(key))})
    names = {f"network.{number}.{part}" for number in numbers for part in ("weight", "bias")}
    if not numbers or set(held) != names:
        raise ModelError(
            f"{checkpoint.name}: {path.name} holds {', '.join(sorted(held))[:160]}, expected the "
            "numbered layers of `network`; fetch the file again"
        )
    parts: list[nn.Module] = []
    for number in numbers:
        weight, bias = held[f"network.{number}.weight"], held[f"network.{number}.bias"]
        floats = weight.dtype.is_floating_point and bias.dtype.is_floating_point
        if weight.ndim != 2 or 0 in weight.shape or bias.shape != weight.shape[:1] or not floats:
            raise ModelError(
                f"{checkpoint.name}: layer {number} of {path.name} is {list(weight.shape)} with "
                f"bias {list(bias.shape)}, expected a linear layer of floats; fetch the file again"
            )
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight, layer.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
        parts += [layer, nn.LeakyReLU()]
    return nn.Sequential(*parts[:-1])


def _refuse_misfit(head: DistributionHead, hidden: int, checkpoint: Checkpoint) -> None:
    widths = []
    for network in (head.regression, head.gating):
        layers = [part for part in network.children() if isinstance(part, nn.Linear)]
        fits = layers[0].in_features == hidden and all(
            after.in_features == before.out_features for before, after in pairwise(layers)
        )
        finite = all(bool(torch.isfinite(weight).all()) for weight in network.parameters())
        if not fits or not finite:
            raise ModelError(
                f"{checkpoint.name}: {REGRESSION} or {GATING} does not fit a body of width "
                f"{hidden}, or holds NaN; fetch both again"
            )
        widths.append(layers[-1].out_features)
    if widths[0] != BINS * widths[1]:
        raise ModelError(
            f"{checkpoint.name}: {REGRESSION} has {widths[0]} outputs and {GATING} {widths[1]}; "
            f"expected {BINS} bins for each objective; fetch both again"
        )


def _recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.is_whole and (checkpoint.folder / REGRESSION).is_file()


FAMILY = PmFamily(
    name="Label distributions",
    files=f"`{REGRESSION}`, `{GATING}` next to the body",
    loads=("LDL-Reward, its one score",),
    refuses={"an objective by name": "the checkpoint names none"},
    recognises=_recognises,
    load=_load,
)
