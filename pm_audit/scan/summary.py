"""What a PM makes of a preference set: accuracy, and what its preference goes along with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import spearmanr

from pm_audit.data import Dialogue, Pair
from pm_audit.judging.intervals import as_figure
from pm_audit.records import Unit
from pm_audit.records.scan import Accuracy, Correlation, Histogram
from pm_audit.scan.compared import Comparison
from pm_audit.scan.score import Scored
from pm_audit.stats import clustered_mean, clustered_share

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_VALUES = 20
"""Values of a column that are told apart; a column with more is no subset, but an id."""

_BINS = 40
_SPREAD = 1.03
"""Standard error of Fisher's z of a rank correlation, by the root of units less three (Fieller)."""


def _count(pattern: str) -> Callable[[str], int]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text: sum(1 for _ in compiled.finditer(text))


FORMATS: Mapping[str, Callable[[str], int]] = {
    "list items": _count(r"^\s*(?:[-*•]|\d+[.)])\s"),
    "headings": _count(r"^\s*#{1,6}\s"),
    "bold": _count(r"\*\*[^*\n]+\*\*"),
    "code blocks": _count(r"^\s*```"),
    "links": _count(r"https?://"),
    "paragraphs": _count(r"\n\s*\n"),
    "numbers": _count(r"\d+"),
    "exclamation marks": _count("!"),
    "question marks": _count(r"\?"),
}
"""Properties of a completion's form, each a count."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The comparisons that the PM could read, and what it read."""

    pairs: Sequence[Pair]
    compared: Sequence[Comparison]
    scored: Sequence[Scored]

    def __len__(self) -> int:
        return len(self.compared)

    @cached_property
    def differences(self) -> Floats:
        """[comparison], chosen reward minus rejected."""
        return np.array([one.difference for one in self.scored])

    @cached_property
    def lengths(self) -> Integers:
        """[comparison], tokens of its longer text, prompt and completion."""
        return np.array(
            [one.prompt_tokens + max(one.chosen_tokens, one.rejected_tokens) for one in self.scored]
        )

    @cached_property
    def cluster(self) -> Integers:
        """[comparison], number of its prompt: rows of one dialogue are one unit."""
        numbers: dict[Dialogue, int] = {}
        found = [numbers.setdefault(one.turns, len(numbers)) for one in self.compared]
        return np.array(found, dtype=np.int64)

    def accuracy(self, name: str, among: Mask, *, confidence: float) -> Accuracy:
        """Return the accuracy over the marked comparisons [comparison]."""
        differences, cluster = self.differences[among], self.cluster[among]
        right = (differences > 0) + 0.5 * (differences == 0)
        return Accuracy(
            name=name,
            comparisons=len(differences),
            prompts=len(np.unique(cluster)),
            accuracy=as_figure(clustered_share(right, cluster, confidence=confidence), Unit.SHARE),
            difference=as_figure(
                clustered_mean(differences, cluster, confidence=confidence), Unit.REWARD
            ),
        )

    def overall(self, *, confidence: float) -> Accuracy:
        """Return the accuracy over all comparisons."""
        return self.accuracy("", np.ones(len(self), dtype=bool), confidence=confidence)

    def by_column(self, *, confidence: float) -> dict[str, tuple[Accuracy, ...]]:
        """Return the accuracy by each column that has few values, most comparisons first."""
        names = sorted({name for one in self.compared for name in self._columns(one)})
        found = {}
        for name in names:
            values = [str(self._columns(one).get(name)) for one in self.compared]
            if 1 < len(set(values)) <= MOST_VALUES:
                found[name] = self._parts(np.array(values), confidence)
        return found

    def by_turns(self, *, confidence: float) -> tuple[Accuracy, ...]:
        """Return the accuracy by number of turns of the prompt."""
        turns = [f"{len(one.turns)} turn{'s' * (len(one.turns) > 1)}" for one in self.compared]
        return self._parts(np.array(turns), confidence)

    def correlations(self, *, confidence: float) -> tuple[Correlation, ...]:
        """Return what goes along with the difference of rewards, strongest first."""
        chosen = [one.chosen for one in self.compared]
        rejected = [one.rejected for one in self.compared]
        measures = {
            "length": np.array([one.chosen_tokens - one.rejected_tokens for one in self.scored]),
            "position of the first difference": np.array(
                [one.shared_tokens for one in self.scored]
            ),
        }
        for name, count in FORMATS.items():
            own = [count(a) - count(b) for a, b in zip(chosen, rejected, strict=True)]
            measures[name] = np.array(own)
        units = len(np.unique(self.cluster))
        found = []
        for name, values in measures.items():
            if len(np.unique(values)) < 2 or units < 5 or len(np.unique(self.differences)) < 2:
                continue
            rho = float(spearmanr(values, self.differences).statistic)
            reach = float(stdtrit(units - 1, (1 + confidence) / 2)) * _SPREAD / math.sqrt(units - 3)
            z = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
            low, high = math.tanh(z - reach), math.tanh(z + reach)
            mean = float(values.mean())
            found.append(Correlation(name=name, spearman=rho, low=low, high=high, labelled=mean))
        return tuple(sorted(found, key=lambda one: -abs(one.spearman)))

    def histogram(self) -> Histogram:
        """Return the counts of reward differences."""
        counts, edges = np.histogram(self.differences, bins=_BINS)
        return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))

    def strata(self, column: str | None) -> list[str]:
        """Return each comparison's value of a column, all alike for None."""
        if column is None:
            return [""] * len(self)
        return [str(self._columns(one).get(column)) for one in self.compared]

    def _columns(self, one: Comparison) -> Mapping[str, object]:
        return self.pairs[one.pair].columns

    def _parts(self, values: npt.NDArray[np.str_], confidence: float) -> tuple[Accuracy, ...]:
        names, counts = np.unique(values, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return tuple(
            self.accuracy(str(names[at]), values == names[at], confidence=confidence)
            for at in order
        )
