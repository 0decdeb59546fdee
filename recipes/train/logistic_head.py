"""The head by logistic regression on last states, its penalty chosen on other prompts.

Every text is read once by the body as it stands and its last state kept.  On the differences of a
pair's states the Bradley-Terry likelihood is a logistic regression without intercept.  Sources
weigh the square root of their pairs, so that the largest does not decide alone, times what the
recipe emphasises; the penalty is the one with the best macro-average accuracy over sources under
cross-validation by prompt.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.train.preferences import Pair
from recipes.train.unfinished import read_tensors, write_tensors

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Weights of the squared norm, per standardised dimension, from which a first head is chosen."""

FOLDS = 4
SHARD_TEXTS = 1000

Text = tuple[str, str]
"""Prompt and completion."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted head, with what cross-validation said of it."""

    weight: Tensor
    """[hidden]; reward is ``state @ weight``."""
    penalty: float
    accuracy: dict[str, float]
    """By source, on prompts left out of the fit."""

    @property
    def macro(self) -> float:
        """Mean accuracy over sources."""
        return sum(self.accuracy.values()) / len(self.accuracy)


def frozen_states(
    texts: Sequence[Text],
    read: Callable[[Sequence[str]], Tensor],
    folder: Path,
    *,
    report: Callable[[str], None],
) -> dict[Text, Tensor]:
    """Return the last state [hidden] of each text, reading only what no shard holds yet.

    Args:
        texts: distinct texts, in an order that does not change between runs.
        read: states [row hidden] of written-out texts.
        folder: where shards of finished texts are kept.
        report: receives progress.

    Raises:
        ModelError: a shard is torn.

    """
    folder.mkdir(parents=True, exist_ok=True)
    states: dict[Text, Tensor] = {}
    for number, first in enumerate(range(0, len(texts), SHARD_TEXTS)):
        part = texts[first : first + SHARD_TEXTS]
        path = folder / f"{number:04}.safetensors"
        if not path.exists():
            found = torch.cat(list(_by_length(part, read)))
            write_tensors({"states": found.half().contiguous()}, path)
            report(f"read {first + len(part)} of {len(texts)} texts")
        # Rows of a shard are in the order in which they were read: by length.
        kept = read_tensors(path)["states"].float()
        states |= dict(zip(_sorted(part), kept, strict=True))
    return states


def fit_probe(
    pairs: Sequence[Pair],
    states: dict[Text, Tensor],
    *,
    toward: Tensor,
    emphasis: Mapping[str, float],
    penalties: Sequence[float],
) -> Probe:
    """Fit a head on all pairs, with the penalty that cross-validation prefers.

    Args:
        pairs: to fit and to cross-validate on, by prompt.
        states: of every text of the pairs, [hidden].
        toward: [hidden], where the penalty draws the head; zero for one that starts from scratch.
        emphasis: by source, how many times its weight counts; once for a source not named.
        penalties: weights of the squared norm to choose from.

    """
    differences = torch.stack(
        [states[pair.prompt, pair.chosen] - states[pair.prompt, pair.rejected] for pair in pairs]
    )
    sources = [pair.source for pair in pairs]
    of_source = {
        source: emphasis.get(source, 1.0) * count**-0.5
        for source, count in Counter(sources).items()
    }
    weights = torch.tensor([of_source[source] for source in sources])
    fold = torch.tensor([_fold(pair.prompt_id) for pair in pairs])
    tried = []
    for penalty in penalties:
        right = torch.zeros(len(pairs))
        for number in range(FOLDS):
            own = fold != number
            weight = _fit(differences[own], weights[own], penalty, toward)
            right[~own] = (differences[~own] @ weight > 0).float()
        accuracy = {
            source: float(right[[at for at, name in enumerate(sources) if name == source]].mean())
            for source in dict.fromkeys(sources)
        }
        tried.append(Probe(_fit(differences, weights, penalty, toward), penalty, accuracy))
    return max(tried, key=lambda probe: probe.macro)


def _fit(differences: Tensor, weights: Tensor, penalty: float, toward: Tensor) -> Tensor:
    """Return the weight [hidden] of the penalised weighted logistic regression."""
    known = differences @ toward
    scale = differences.std(dim=0).clamp_min(1e-6)
    inputs, share = differences / scale, weights / weights.sum()
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        fit = -(share * F.logsigmoid(known + inputs @ weight)).sum()
        loss: Tensor = fit + penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return toward + (weight / scale).detach()


def _fold(prompt_id: str) -> int:
    return hashlib.sha256(b"fold" + prompt_id.encode()).digest()[0] % FOLDS


def _sorted(texts: Sequence[Text]) -> list[Text]:
    return sorted(texts, key=lambda text: (len(text[0]) + len(text[1]), text))


def _by_length(texts: Sequence[Text], read: Callable[[Sequence[str]], Tensor]) -> Iterator[Tensor]:
    ordered = ["".join(text) for text in _sorted(texts)]
    first = 0
    while first < len(ordered):
        # About 10,000 characters a batch: long enough to fill the processor, short on padding.
        size = max(1, 10_000 // len(ordered[min(first + 7, len(ordered) - 1)]))
        yield read(ordered[first : first + size])
        first += size
