"""Labels of features, made without a language model from the words on which they fire.

A label is one or two phrases.  Among the runs of words on which a feature fires strongly, they are
those on which its activations differ most between the examples and the counter-examples of the
first fold's discovery prompts.  The label is scored on the completions of the other prompts: the
balanced accuracy with which "the label names this word" predicts "the feature fires on this word".
Those prompts are unseen; phrasings that all prompts share are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pm_audit.forward.contrast import Contrast, Floats, Mask
from pm_audit.records import Feature, FeatureLabel, LabelSource
from pm_audit.search.folds import Fold
from pm_audit.search.words import Phrase, Words

PHRASES, PHRASE_WORDS = 2, 3
"""Most phrases of a label, and most words of a phrase."""

_STRONG = 0.5
"""Share of the strongest activation in its completion from which a word is part of a phrase."""

_WORTH = 0.25
"""Share of what the first phrase holds that a second one must add."""

_TELLING = 0.1
"""Share of a phrase's activations by which the sides must differ for differences to decide."""

_LONGEST = 40
"""Characters of a phrase that are shown."""


def label(feature: Feature, words: Words, contrast: Contrast, fold: Fold) -> FeatureLabel | None:
    """Return a feature's label; None if it fires on no completion of the discovery prompts."""
    strength = words.strength(feature)
    seen = contrast.of_prompts(fold.discovery)[words.row]
    weight = contrast.weights(fold.discovery)[words.row]
    difference = strength * weight
    runs: dict[Phrase, list[int]] = {}
    for run in _runs(words, strength, seen):
        runs.setdefault(words.phrase(run), run)
    within = {phrase: words.within(phrase) for phrase in runs}
    shared = max((float(np.abs(difference[inside]).sum()) for inside in within.values()), default=0)
    phrases = _choose(within, difference, least=_TELLING * shared)
    # a feature that fires alike on both sides is labelled by where it fires at all
    phrases = phrases or _choose(within, strength * seen, least=0.0)
    if not phrases:
        return None
    named = np.any([within[phrase] for phrase in phrases], axis=0)
    return FeatureLabel(
        text=", ".join(_shown(words, runs[phrase]) for phrase in phrases),
        source=LabelSource.FIRING,
        score=_balanced_accuracy(named[~seen], strength[~seen] > 0),
    )


def _runs(words: Words, strength: Floats, seen: Mask) -> Iterator[list[int]]:
    """Yield the runs of neighbouring strong words; a word with a name is one alone."""
    strongest = np.zeros(int(words.row.max()) + 1)
    np.maximum.at(strongest, words.row, strength)
    strong = seen & (strength > 0) & (strength >= _STRONG * strongest[words.row])
    run: list[int] = []
    for at in np.flatnonzero(strong).tolist():
        joins = bool(run) and at == run[-1] + 1 and words.row[at] == words.row[run[-1]]
        if joins and len(run) < PHRASE_WORDS and not words.named[[at, run[-1]]].any():
            run.append(at)
            continue
        if run:
            yield run
        run = [at]
    if run:
        yield run


def _choose(within: dict[Phrase, Mask], held: Floats, *, least: float) -> list[Phrase]:
    """Return the phrases that add most, and more than ``least``, to the size of what they hold.

    ``held`` is [word]; words of a phrase that was chosen hold nothing any more.
    """
    chosen: list[Phrase] = []
    left = held.copy()
    while len(chosen) < min(PHRASES, len(within)):
        added = {phrase: abs(float(left[inside].sum())) for phrase, inside in within.items()}
        best = max(added, key=lambda phrase: added[phrase])
        if added[best] <= least:
            break
        chosen.append(best)
        left[within[best]] = 0.0
        least = max(least, _WORTH * added[best])
    return chosen


def _shown(words: Words, run: Sequence[int]) -> str:
    text = words.shown(run)
    if words.named[run[0]]:
        return text
    return f"“{text if len(text) <= _LONGEST else f'{text[: _LONGEST - 1]}…'}”"


def _balanced_accuracy(predicted: Mask, true: Mask) -> float | None:
    """Return the mean of both classes' accuracies; None if there is only one class."""
    if true.all() or not true.any():
        return None
    return float(predicted[true].mean() + (~predicted[~true]).mean()) / 2
