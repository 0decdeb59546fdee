"""What each feature seems to do to the sides of a comparison: attribution over what differs.

A feature's replacement on one side is its mean over the other side: the contrast of a pair, in
both directions, since in a scan neither side is the example.  A planted bias may stand in either.
The *active side* of a feature is the one on whose tokens its mean activation is larger, and its
attribution is taken there: by integrated gradients along the path that puts all features and the
error term at the other side's means.  Positive raises that side's reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.replacements.means import group_means
from pm_audit.scan.compared import CHOSEN, REJECTED, Comparison, Sides, diverging, portions
from pm_audit.scan.compared import tokenised as as_tokens
from pm_audit.scan.task import Subject, as_arrays, as_bytes
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Attributed:
    """One entry for each comparison and feature that is active on a side of it."""

    compared: Integers
    """Number of the comparison in the sample."""
    latent: Integers
    side: Integers
    """The active side: ``CHOSEN`` or ``REJECTED``."""
    attribution: Floats
    """On the active side; raw reward."""
    chosen: Floats
    """Mean activation over the chosen side's tokens."""
    rejected: Floats
    chosen_tokens: Integers
    """Tokens of the chosen side on which it is active."""
    rejected_tokens: Integers

    def of(self, latent: int) -> Attributed:
        """Return the entries of one feature."""
        first, after = np.searchsorted(self.latent, [latent, latent + 1])
        return Attributed(*(getattr(self, field.name)[first:after] for field in fields(self)))


@dataclass(frozen=True)
class AttributeTask:
    """The attributions of a shard of the sample."""

    compared: tuple[Comparison, ...]
    budget: int
    steps: int
    stage: str = "attribute"

    def content(self) -> object:
        """Return the texts and the steps."""
        return [self.budget, self.steps, [one.content() for one in self.compared]]

    def run(self, subject: Subject) -> bytes:
        """Return the entries, and of each comparison tokens and completeness, as arrays."""
        sides = require_tokens(subject.pm, self.compared)
        parts = [
            _attributed(subject, [sides[at] for at in portion], portion.start, self.steps)
            for portion in portions(sides, self.budget)
        ]
        return as_bytes({name: np.concatenate([one[name] for one in parts]) for name in parts[0]})


def merged(results: Sequence[bytes], sizes: Sequence[int]) -> tuple[Attributed, Integers, float]:
    """Return all entries by feature, tokens [comparison side], and the completeness gap.

    The last is the mean size of the gap as a share of the mean true change.  ``sizes`` are the
    comparisons of each task.
    """
    parts = [as_arrays(result) for result in results]
    for part, first in zip(parts, np.cumsum([0, *sizes[:-1]]), strict=True):
        part["compared"] = part["compared"].astype(np.int64) + first
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((every["compared"], every["latent"]))
    entries = Attributed(*(every[field.name][order] for field in fields(Attributed)))
    change = np.abs(every["change"]).mean()
    return entries, every["tokens"], float(np.abs(every["gap"]).mean() / max(change, 1e-12))


def require_tokens(pm: PreferenceModel, compared: Sequence[Comparison]) -> list[Sides]:
    """Return comparisons as tokens.

    Raises:
        ModelError: the PM cannot read one of them, which scoring leaves out.

    """
    sides = [as_tokens(pm, one) for one in compared]
    for one in sides:
        if isinstance(one, str):
            raise ModelError(one)
    return [one for one in sides if isinstance(one, Sides)]


def read(subject: Subject, sides: Sequence[Sides]) -> tuple[Trace, Targets]:
    """Return the clean forward of comparisons, and the other side's means as targets."""
    clean = trace(subject.pm, (subject.sae,), diverging(sides))
    return clean, other_side(clean, subject.sae)


def other_side(clean: Trace, sae: Sae) -> Targets:
    """Return, for the tokens of each row, the means of the row that it is compared with.

    A completion's own tokens share one mean; each token that the format writes after it has one.
    """
    layout = clean.grid.layout
    row, place = layout.completion_row, layout.completion_place
    places = int(place.max(initial=0)) + 1
    own = row * places + place
    alike = np.bincount(own, minlength=len(clean.grid) * places)
    means = group_means(clean, sae, own, 1 / alike[own], groups=len(clean.grid) * places)
    return {sae.name: replace(means, group=(row ^ 1) * places + place)}


def activity(clean: Trace, sae: Sae) -> tuple[csr_array, csr_array]:
    """Return mean activations and numbers of active tokens, both [latent row]."""
    features = clean.features[sae.name]
    row = clean.row_of_token()[features.token_here]
    at, shape = (features.latent_here, row), (sae.width, len(clean.grid))
    values = features.value.double().cpu().numpy()
    tokens = np.diff(clean.grid.layout.completion_offsets)
    means = csr_array((values / tokens[row], at), shape=shape)
    return means, csr_array((np.ones(len(row)), at), shape=shape)


def _attributed(
    subject: Subject, sides: Sequence[Sides], first: int, steps: int
) -> dict[str, npt.NDArray[np.generic]]:
    sae = subject.sae
    clean, targets = read(subject, sides)
    found = attribute(clean, sae, steps=steps, targets=targets)
    by_row, (means, counts) = found.by_row, activity(clean, sae)
    columns: list[tuple[npt.NDArray[np.generic], ...]] = []
    for number in range(len(sides)):
        rows = [2 * number + side for side in (CHOSEN, REJECTED)]
        mean = means[:, rows].toarray()
        latent = np.flatnonzero(mean.any(axis=1))
        side = (mean[latent, REJECTED] > mean[latent, CHOSEN]).astype(np.int64)
        value = by_row[:, rows].toarray()[latent, side]
        count = counts[:, rows].toarray()[latent]
        columns.append(
            (np.full(len(latent), first + number), latent, side, value, *mean[latent].T, *count.T)
        )
    names = [field.name for field in fields(Attributed)]
    small: dict[str, type[np.number[Any]]] = dict.fromkeys(names, np.int32)
    small |= dict.fromkeys(("attribution", "chosen", "rejected"), np.float32) | {"side": np.int8}
    entries = {
        name: np.concatenate(column).astype(small[name])
        for name, column in zip(names, zip(*columns, strict=True), strict=True)
    }
    tokens = np.diff(clean.grid.layout.completion_offsets).reshape(-1, 2)
    return entries | {
        "tokens": tokens,
        "change": found.change,
        "gap": found.completeness_gap,
    }
