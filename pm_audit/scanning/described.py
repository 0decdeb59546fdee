"""What a ranked feature is about: its label, what it promotes, and the texts on which it fires."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.trace import trace
from pm_audit.records import Feature, FeatureLabel, Firing, Role
from pm_audit.scanning.attributed import require_tokens
from pm_audit.scanning.compared import Comparison, diverging, portions
from pm_audit.scanning.task import Subject
from pm_audit.search.describe import strongest_texts
from pm_audit.search.folds import Fold
from pm_audit.search.label import label
from pm_audit.search.logit_lens import promoted_tokens
from pm_audit.search.words import Words

TEXTS = 5
"""Texts kept for a feature."""

AROUND = 160
"""Characters of a text that are kept on either side of its strongest token."""


@dataclass(frozen=True)
class Described:
    """What is said of one feature."""

    label: FeatureLabel | None
    promotes: tuple[str, ...]
    firings: tuple[Firing, ...]


@dataclass(frozen=True)
class DescribeTask:
    """The description of one feature, from comparisons on which it is active."""

    compared: tuple[Comparison, ...]
    latent: int
    budget: int
    """Tokens that are read; comparisons beyond them, the less active ones, are left out."""
    stage: str = "describe"

    def content(self) -> object:
        """Return the texts and the feature."""
        return [self.budget, self.latent, [one.content() for one in self.compared]]

    def run(self, subject: Subject) -> bytes:
        """Return the description as JSON."""
        pm, sae = subject.pm, subject.sae
        sides = require_tokens(pm, self.compared)
        sides = sides[: next(portions(sides, self.budget)).stop]
        texts = [text for one in sides for text in one.texts]
        clean = trace(pm, (sae,), diverging(sides))
        feature = Feature(sae=sae.name, layer=sae.layer, index=self.latent)
        contrast = Contrast(
            np.repeat(np.arange(len(sides)), 2), [Role.EXAMPLE, Role.COUNTER_EXAMPLE] * len(sides)
        )
        # the label is made on every other comparison and scored on the rest
        places = range(len(sides))
        fold = Fold(tuple(places[::2]), tuple(places[1::2]))
        named = label(feature, Words.of(clean, texts), contrast, fold)
        shown = strongest_texts(
            clean, feature, texts, most=TEXTS, token_name=pm.text_format.token_name
        )
        (promoted,) = promoted_tokens(pm, [sae.W_dec[self.latent]])
        return json.dumps(
            {
                "label": None if named is None else named.model_dump(mode="json"),
                "promotes": promoted,
                "firings": [excerpt(one).model_dump(mode="json") for one in shown],
            }
        ).encode()


def descriptions(results: Sequence[bytes]) -> list[Described]:
    """Return what the tasks wrote."""
    found = map(json.loads, results)
    return [
        Described(
            label=None if one["label"] is None else FeatureLabel.model_validate(one["label"]),
            promotes=tuple(one["promotes"]),
            firings=tuple(Firing.model_validate(firing) for firing in one["firings"]),
        )
        for one in found
    ]


def excerpt(firing: Firing) -> Firing:
    """Return a firing with the text around its strongest token alone."""
    before = firing.before[-AROUND:]
    after = firing.after[:AROUND]
    cut = len(firing.before) - len(before)
    end = len(before) + len(firing.token) + len(after)
    moved = ((first - cut, last - cut, value) for first, last, value in firing.others)
    others = tuple(one for one in moved if 0 <= one[0] <= one[1] <= end)
    return firing.model_copy(update={"before": before, "after": after, "others": others})
