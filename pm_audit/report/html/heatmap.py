"""Heatmaps: whole texts, each token coloured by how strongly a feature fires on it.

Only completion positions were read, so a prompt is always cold.  A token that stands for no
character, such as an end-of-text token that the format appends, is shown by its name, and so is
a line break.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pm_audit.records import Firing
from pm_audit.report.feature_words import END_OF_TURN, LINE_BREAK, NO_TEXT, name_of_token

HEAT_STEPS = 9


@dataclass(frozen=True, slots=True)
class HeatToken:
    """A piece of text and how strongly the feature fires on it: 0 is not at all."""

    text: str
    heat: int
    activation: float | None
    named: bool = False
    """The text is the name of a token that would be an empty mark."""


HeatLine = tuple[HeatToken, ...]
"""One text."""


def heatmaps(firings: tuple[Firing, ...]) -> tuple[HeatLine, ...]:
    """Return each text cut at the tokens on which the feature fires, on one scale of heat."""
    strongest = max((abs(firing.activation) for firing in firings), default=0.0)
    return tuple(_line(firing, strongest) for firing in firings)


def _line(firing: Firing, strongest: float) -> HeatLine:
    whole = firing.before + firing.token + firing.after
    start = len(firing.before)
    places = {(start, start + len(firing.token)): firing.activation}
    for first, last, activation in firing.others:
        # the tokens of one character share its place; the strongest colours it
        places[first, last] = max(activation, places.get((first, last), activation))
    tokens: list[HeatToken] = []
    reached = 0
    for (first, last), activation in sorted(places.items()):
        if not reached <= first <= last <= len(whole):
            continue
        if first > reached:
            tokens.append(HeatToken(whole[reached:first], 0, None))
        share = abs(activation) / strongest if strongest else 0.0
        text = whole[first:last]
        unseen = _name(firing, first, last, whole)
        heat = min(HEAT_STEPS, max(1, math.ceil(HEAT_STEPS * share)))
        tokens.append(HeatToken(unseen or text, heat, activation, bool(unseen)))
        reached = last
    if reached < len(whole):
        tokens.append(HeatToken(whole[reached:], 0, None))
    return tuple(tokens)


def _name(firing: Firing, first: int, last: int, whole: str) -> str:
    """Return the name of a token that would be an empty mark; nothing for one that shows text."""
    if first < last:
        text = whole[first:last]
        return LINE_BREAK if text.isspace() and "\n" in text else ""
    if not firing.token and first == len(firing.before):
        return name_of_token(firing)
    return END_OF_TURN if first == len(whole) else NO_TEXT
