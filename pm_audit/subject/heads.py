"""Reward heads: from the normalised state at the last token to one reward, in fp32."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError

_NUMBERED = re.compile(r"[0-9]{1,4}\.")


class LinearHead(nn.Module):
    """Reward is ``hidden @ weight + bias``."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().reshape(1, -1).clone())
        # a bias that is given may have been read apart from its weight
        self.bias = nn.Parameter(
            self.weight.new_zeros(1)
            if bias is None
            else bias.detach().to(self.weight.device).float().reshape(1).clone()
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row]."""
        rewards: Tensor = (hidden @ self.weight.T + self.bias).squeeze(-1)
        return rewards


class RescaledHead(nn.Module):
    """Reward is another head's output less a mean, as a share of a scale."""

    def __init__(self, head: nn.Module, mean: float, scale: float) -> None:
        super().__init__()
        self.head, self.mean, self.scale = head, mean, scale

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row]."""
        rewards: Tensor = (self.head(hidden) - self.mean) / self.scale
        return rewards


class MlpHead(nn.Module):
    """Linear layers with ReLU between them; the last has one output for each objective."""

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for weight, bias in layers:
            parts += [_linear(weight, bias), nn.ReLU()]
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row], or [row objective]."""
        rewards: Tensor = self.layers(hidden)
        return rewards.squeeze(-1)


class MixedHead(nn.Module):
    """Reward is a weighted sum of the outputs of another head."""

    def __init__(self, head: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.head = head
        self.weights: Tensor
        place = next(head.parameters(), weights).device
        self.register_buffer("weights", weights.detach().to(place).float())

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row]; the weights are [objective]."""
        rewards: Tensor = self.head(hidden) @ self.weights
        return rewards


class VerdictHead(nn.Module):
    """Reward is an expected score over verdict tokens, or the first one's logit less the second's.

    Logits are ``hidden @ rows + bias``, times a scale, then capped by a hyperbolic tangent in
    families that do so (2408.00118).
    """

    def __init__(
        self,
        rows: Tensor,
        bias: Tensor | None,
        scores: Sequence[float] | None,
        *,
        scale: float = 1.0,
        cap: float | None = None,
    ) -> None:
        super().__init__()
        self.rows = _linear(rows, bias)
        self.scale, self.cap = scale, cap
        self.scores: Tensor | None
        self.register_buffer("scores", None if scores is None else torch.tensor(scores))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states [row hidden] to rewards [row]."""
        logits = self.rows(hidden) * self.scale
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        return verdict(logits, self.scores)


def verdict(logits: Tensor, scores: Tensor | None) -> Tensor:
    """Return rewards [row] of the verdicts' logits [row verdict].

    They are the expected value of the scores [verdict] under the verdicts' probabilities, or for
    None the first logit less the second.
    """
    if scores is None:
        return logits[..., 0] - logits[..., 1]
    rewards: Tensor = logits.softmax(dim=-1) @ scores.to(logits)
    return rewards


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().float())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().float())
    return layer


def head_of(weights: Mapping[str, Tensor], *, source: str) -> nn.Module:
    """Return the head of one reward that these weights make.

    Raises:
        ModelError: names are of no such head, or there is not one reward.

    """
    layers = _layers(weights, source=source)
    outputs = layers[-1][0].shape[0]
    if outputs != 1:
        raise ModelError(f"{source}: the head has {outputs} outputs, expected one reward")
    return LinearHead(*layers[0]) if len(layers) == 1 else MlpHead(layers)


def layers_of(weights: Mapping[str, Tensor], *, source: str) -> MlpHead:
    """Return linear layers with ReLU between them, with as many outputs as the last has.

    Raises:
        ModelError: names are of no such layers, or a weight is not finite.

    """
    return MlpHead(_layers(weights, source=source))


def _layers(weights: Mapping[str, Tensor], *, source: str) -> list[tuple[Tensor, Tensor | None]]:
    """Return weight and bias of each layer: ``weight`` and ``bias``, or numbered ones."""
    if set(weights) <= {"weight", "bias"} and "weight" in weights:
        layers = [(weights["weight"], weights.get("bias"))]
    else:
        numbers = sorted({int(name.split(".")[0]) for name in weights if _NUMBERED.match(name)})
        known = {f"{number}.{part}" for number in numbers for part in ("weight", "bias")}
        if (
            not numbers
            or set(weights) - known
            or any(f"{n}.weight" not in weights for n in numbers)
        ):
            raise ModelError(
                f"{source}: the head's weights {', '.join(sorted(weights))[:200]} are neither one "
                "linear layer nor numbered ones; add a family for it"
            )
        layers = [(weights[f"{n}.weight"], weights.get(f"{n}.bias")) for n in numbers]
    _refuse_misshapen(layers, source=source)
    for weight, bias in layers:
        if not bool(torch.isfinite(weight).all()) or (
            bias is not None and not bool(torch.isfinite(bias).all())
        ):
            raise ModelError(f"{source}: the head holds NaN or infinite weights; fetch it again")
    return layers


def _refuse_misshapen(layers: Sequence[tuple[Tensor, Tensor | None]], *, source: str) -> None:
    """Refuse layers that are not matrices of consecutive sizes."""
    shapes = [list(weight.shape) for weight, _ in layers]
    fits = all(len(shape) == 2 and 0 not in shape for shape in shapes)
    fits = fits and all(after[1] == before[0] for before, after in pairwise(shapes))
    for weight, bias in layers if fits else ():
        fits = fits and (bias is None or tuple(bias.shape) == (weight.shape[0],))
    if not fits:
        raise ModelError(
            f"{source}: the head's layers have shapes {str(shapes)[:160]}, with biases that do not "
            "all fit; expected matrices that follow each other; fetch the model again"
        )


def mixture(
    objective: str | None, names: Sequence[str], *, source: str, unmixed: Sequence[str] = ()
) -> Tensor:
    """Return the weight of each objective [objective].

    ``objective`` is one of the ``names`` of the head's outputs or a mixture ``name=0.7,name=0.3``;
    the ``unmixed`` ones are valid names too, but cannot be part of a mixture.

    Raises:
        ModelError: none of several objectives was named, or the name is unknown.

    """
    if not names:
        raise ModelError(f"{source}: the head has no outputs; fetch the model again")
    listed = ", ".join([*names[:40], *unmixed])
    choices = (
        f"choose one of {listed}; or weigh them, as in {names[0]}=0.7,{names[-1]}=-0.3; or audit "
        "all of them with the objective `all`"
    )
    if objective is None:
        raise ModelError(
            f"{source}: the head has {len(names)} objectives and none was named; averaging them "
            f"would mean nothing: {choices}"
        )
    weights = torch.zeros(len(names))
    if objective in names:
        # before anything is split: a name may hold a comma or an equals sign
        weights[list(names).index(objective)] = 1
        return weights
    for part in objective.split(","):
        name, _, weight = part.strip().rpartition("=") if "=" in part else (part.strip(), "", "1")
        try:
            amount = float(weight)
        except ValueError:
            amount = math.nan
        if name in unmixed:
            raise ModelError(
                f"{source}: {name} is a weighing of its own and cannot be mixed; {choices}"
            )
        if name not in names or not math.isfinite(amount):
            raise ModelError(f"{source}: objective {part.strip()!r} is unknown; {choices}")
        weights[list(names).index(name)] += amount
    if not bool(weights.any()):
        raise ModelError(f"{source}: all weights of objective {objective!r} are zero; {choices}")
    return weights


def label_names(config: Mapping[str, object], count: int) -> tuple[str, ...]:
    """Return the names of a head's outputs, ``LABEL_0`` and so on if none are given."""
    named = config.get("id2label")
    labels = named if isinstance(named, Mapping) else {}
    by_index = {int(index): str(label) for index, label in labels.items() if str(index).isdecimal()}
    names = tuple(by_index.get(index, f"LABEL_{index}") for index in range(count))
    return names if len(set(names)) == count else tuple(f"LABEL_{i}" for i in range(count))
