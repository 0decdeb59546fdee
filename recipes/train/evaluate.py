"""Accuracy of a preference model on pairs that it never trained on, source by source.

Each accuracy comes with that of the rule "the longer completion wins", the bias that a preference
model learns first.  Ties of the model count as wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from pm_audit.records import Finite, Record
from recipes.train.preferences import Pair


class SourceAccuracy(Record):
    """One source's held-out pairs."""

    source: str
    pairs: int
    accuracy: Finite
    """Share of pairs in which the chosen completion gets the higher reward."""
    longer: Finite
    """Share of pairs in which the chosen completion has more characters."""


def accuracy_by_source(
    pairs: Sequence[Pair], score: Callable[[Sequence[tuple[str, str]]], Sequence[float]]
) -> list[SourceAccuracy]:
    """Score every distinct (prompt, completion) once and compare; largest source first.

    Args:
        pairs: held-out pairs.
        score: rewards of (prompt, completion) texts, in their order.

    """
    texts = sorted({(pair.prompt, text) for pair in pairs for text in (pair.chosen, pair.rejected)})
    rewards = dict(zip(texts, score(texts), strict=True))
    by_source: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_source[pair.source].append(pair)
    table = []
    for source, members in by_source.items():
        right = sum(
            rewards[pair.prompt, pair.chosen] > rewards[pair.prompt, pair.rejected]
            for pair in members
        )
        longer = sum(len(pair.chosen) > len(pair.rejected) for pair in members)
        table.append(
            SourceAccuracy(
                source=source,
                pairs=len(members),
                accuracy=right / len(members),
                longer=longer / len(members),
            )
        )
    return sorted(table, key=lambda row: -row.pairs)
