"""What the PM reads in a completion: its reward, and where groups of features are active.

A group's strength at a piece of a text is the sum over its features of their activation there,
each as a share of its largest activation in the texts that were read first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pm_audit.data import Dialogue
from pm_audit.drafts.slots import Pieces
from pm_audit.errors import ModelError
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.replacements.contrast import contrast_features
from pm_audit.records import Feature, Role
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TokenisedRow

Floats = npt.NDArray[np.float64]

_AT_ONCE = 8_192
"""Tokens that are read together."""


@dataclass(frozen=True, slots=True)
class Text:
    """One completion of a prompt."""

    turns: Dialogue
    completion: str


@dataclass(frozen=True, eq=False)
class Reading:
    """A completion, its reward, and the activations in it."""

    text: Text
    pieces: Pieces
    reward: float
    active: Floats
    """[feature piece], largest activation of each requested feature on each piece's tokens, as a
    share of the feature's peak."""

    def strength(self, features: Sequence[int]) -> Floats:
        """Return the strength [piece] of a group, by the numbers of its features."""
        return np.asarray(self.active[list(features)].sum(axis=0))

    def strongest(self, features: Sequence[int]) -> float:
        """Return a group's largest strength on a piece."""
        return float(self.strength(features).max(initial=0.0))

    def total(self, features: Sequence[int]) -> float:
        """Return a group's strength summed over the pieces."""
        return float(self.active[list(features)].sum())


@dataclass
class Reader:
    """Reads completions with one PM and the features of one SAE."""

    pm: PreferenceModel
    sae: Sae
    latents: Sequence[int]
    """Of the features, whose numbers are places in this list."""
    peak: Floats | None = field(default=None, init=False)
    """[feature], largest activation in the texts that were read first."""

    def read(self, texts: Iterable[Text]) -> list[Reading | None]:
        """Return a reading of each text; None of one that the PM cannot read."""
        listed = list(texts)
        found: list[Reading | None] = [None] * len(listed)
        # texts of one prompt next to each other: what they share is read once
        order = sorted(range(len(listed)), key=lambda at: (repr(listed[at].turns), at))
        part: list[tuple[int, Text, TokenisedRow]] = []
        tokens = 0
        for at in order:
            row = self._tokenised(listed[at])
            if row is None:
                continue
            if part and tokens + len(row.token_ids) > _AT_ONCE:
                self._read(part, found)
                part, tokens = [], 0
            part.append((at, listed[at], row))
            tokens += len(row.token_ids)
        if part:
            self._read(part, found)
        return self._scaled(found)

    def closed(self, pairs: Sequence[tuple[Text, Text]], groups: Sequence[Sequence[int]]) -> Floats:
        """Return the share [group] of the gap of pairs that each group of features carries.

        Args:
            pairs: of example and counter-example, all of which can be read.
            groups: by the numbers of their features.

        """
        rows = [
            Row(number, row.token_ids, row.completion_start, row.completion_stop)
            for number, pair in enumerate(pairs)
            for row in (self.pm.text_format.tokenise(text.turns, text.completion) for text in pair)
        ]
        contrast = Contrast(
            np.repeat(np.arange(len(pairs)), 2), [Role.EXAMPLE, Role.COUNTER_EXAMPLE] * len(pairs)
        )
        experiment = Experiment(trace(self.pm, [self.sae], Grid(tuple(rows))), contrast)
        sets = [
            [
                Feature(sae=self.sae.name, layer=self.sae.layer, index=self.latents[one])
                for one in own
            ]
            for own in groups
        ]
        after = ablate_sets(experiment.trace, sets, targets=contrast_features(experiment))
        weights = contrast.weights(range(len(pairs)))
        return np.asarray(1 - (after @ weights) / (experiment.rewards @ weights))

    def _tokenised(self, text: Text) -> TokenisedRow | None:
        try:
            row: TokenisedRow = self.pm.text_format.tokenise(text.turns, text.completion)
        except ModelError:
            return None  # longer than the PM reads: the scan left it out, too
        return row

    def _read(
        self, part: Sequence[tuple[int, Text, TokenisedRow]], found: list[Reading | None]
    ) -> None:
        """Read texts together and put each reading in its place."""
        number = {text.turns: 0 for _, text, _ in part}
        number = {turns: place for place, turns in enumerate(number)}
        rows = [
            Row(number[text.turns], row.token_ids, row.completion_start) for _, text, row in part
        ]
        clean = trace(self.pm, [self.sae], Grid(tuple(rows)))
        token, feature, value = self._active(clean)
        layout = clean.grid.layout
        for place, (at, text, row) in enumerate(part):
            pieces = Pieces(text.completion)
            here = np.flatnonzero(layout.completion_row[token] == place)
            piece_of = _piece_of(pieces, text, row)
            active = np.zeros((len(self.latents), len(pieces)))
            for one in here.tolist():
                position = int(layout.completion_position[token[one]])
                for piece in piece_of.get(position, ()):
                    active[feature[one], piece] = max(active[feature[one], piece], value[one])
            found[at] = Reading(text, pieces, float(clean.rewards[place]), active)

    def _active(self, clean: Trace) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
        """Return (token, feature, activation) of the requested features."""
        features = clean.features[self.sae.name]
        number = np.full(self.sae.width, -1)
        number[list(self.latents)] = np.arange(len(self.latents))
        feature = number[features.latent_here]
        own = feature >= 0
        value = features.value.double().cpu().numpy()[own]
        return features.token_here[own], feature[own], value

    def _scaled(self, found: Sequence[Reading | None]) -> list[Reading | None]:
        if self.peak is None:
            peaks = [one.active.max(axis=1, initial=0.0) for one in found if one is not None]
            self.peak = np.max([np.full(len(self.latents), 1e-9), *peaks], axis=0)
        scale = self.peak[:, None]
        return [
            one and Reading(one.text, one.pieces, one.reward, one.active / scale) for one in found
        ]


def _piece_of(pieces: Pieces, text: Text, row: TokenisedRow) -> dict[int, list[int]]:
    """Return the pieces that each token of a completion is a part of, by its position.

    White space alone counts for the piece after it.
    """
    core = text.completion.strip()
    # the format may leave out the space that a completion starts with
    begin = row.text.rfind(core) - text.completion.find(core)
    stop = len(row.token_ids) if row.completion_stop is None else row.completion_stop
    found: dict[int, list[int]] = {}
    for position in range(row.completion_start, stop):
        first, last = (at - begin for at in row.offsets[position])
        over = [at for at, (a, b) in enumerate(pieces.spans) if a < last and first < b]
        after = [at for at, (a, _) in enumerate(pieces.spans) if a >= last][:1]
        found[position] = over or after
    return found
