"""LDL-Reward: a distribution over bins of the score for each objective, and a gate on them.

Both read the last token.  ``regression_layer.pt`` gives each objective the logits of ten bins,
which stand at equal steps from 0 to 1; ``gating_layer.pt`` weighs the objectives.  The score is
the weighted sum of the expected bins: a nonlinear head on one state.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.files import confined, sha256
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.stored import read_pickle
from pm_audit.loading.pms.bare_backbone import body_config, load_with_head
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.subject.heads import layers_of
from pm_audit.subject.preference_model import PreferenceModel

REGRESSION, GATING = "regression_layer.pt", "gating_layer.pt"
BINS = 10


class DistributionHead(nn.Module):
    """Reward is the expected bin of each objective, weighed by a gate on the same state."""

    def __init__(
        self, regression: nn.Sequential, gating: nn.Sequential, *, softmax: bool, temperature: float
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
    held = {key.removeprefix("network."): weight for key, weight in read_pickle(path).items()}
    source = f"{checkpoint.name}: {path.name}"
    if not all(weight.is_floating_point() for weight in held.values()):
        raise ModelError(f"{source} holds weights that are not floats; fetch the file again")
    parts = layers_of(held, source=source).layers
    return nn.Sequential(*(nn.LeakyReLU() if isinstance(p, nn.ReLU) else p for p in parts))


def _refuse_misfit(head: DistributionHead, hidden: int, checkpoint: Checkpoint) -> None:
    """Refuse networks that do not fit the body or each other."""
    matrices = [
        [weight.shape for weight in network.parameters() if weight.ndim == 2]
        for network in (head.regression, head.gating)
    ]
    if any(shapes[0][1] != hidden for shapes in matrices):
        raise ModelError(
            f"{checkpoint.name}: {REGRESSION} or {GATING} does not fit a body of width {hidden}; "
            "fetch both again"
        )
    outputs, objectives = (shapes[-1][0] for shapes in matrices)
    if outputs != BINS * objectives:
        raise ModelError(
            f"{checkpoint.name}: {REGRESSION} has {outputs} outputs and {GATING} {objectives}; "
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
