"""What a feature is called in every report: its label, and the index that it stands for.

A token that stands for no character, such as an end of turn or a line break that the text format
appends, has a name.
"""

from __future__ import annotations

from pm_audit.records import Feature, FeatureRecord, Firing
from pm_audit.report.terminal_writer import shortened

END_OF_TURN = "end of turn"
NO_TEXT = "token without text"
LINE_BREAK = "line break"
WHITE_SPACE = "white space"

_SHORTEST = 12
"""Characters of a label that are shown at least."""


def label(feature: FeatureRecord) -> str:
    """Return a feature's label, empty if it has none."""
    return feature.label.text if feature.label else ""


def name(feature: FeatureRecord, *, width: int | None = None) -> str:
    """Return ``“though”, “could be” (layer_6/3064)``, as ``with_label`` does."""
    return with_label(feature, label(feature), width=width)


def with_label(feature: Feature, text: str, *, width: int | None = None) -> str:
    """Return a feature's label, and its index in parentheses; without a label the index alone.

    A label that would not fit the ``width`` in characters is cut; the index stays whole.
    """
    if width is not None:
        text = shortened(text, max(width - len(f" ({feature})"), _SHORTEST))
    return f"{text} ({feature})" if text else str(feature)


def name_of_token(firing: Firing) -> str:
    """Return the name of a token that stands for no character."""
    if firing.special is not None:
        return firing.special
    return NO_TEXT if firing.after else END_OF_TURN
