"""How long a text a decoder reads, by its positions.

A rotary embedding of kind longrope turns every token by other angles in a text longer than those
of the first training, and transformers goes by the longest text of a batch.  The reward of one text
would then depend on the others, and keys that texts share would differ by text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SWITCHES = frozenset({"longrope", "su"})
"""Kinds of rotary embedding that depend on the length of a text."""
_FIRST_TRAINING = "original_max_position_embeddings"


def longest_text(config: Any) -> tuple[int | None, str]:
    """Return the most tokens that a text body reads in one way, and why, if not for positions."""
    positions = getattr(config, "max_position_embeddings", None)
    held = positions if isinstance(positions, int) else None
    switch = min(_switches(config), default=None)
    if switch is None or (held is not None and held <= switch):
        return held, ""
    return switch, "longer texts change the rotary angles of all that are read with them, longrope"


def _switches(config: Any) -> Iterator[int]:
    """Yield the lengths after which rotary embeddings turn by other angles."""
    held = getattr(config, "rope_parameters", None)
    settings = held if isinstance(held, Mapping) else {}
    # one of them, or one for each kind of block
    for each in (settings, *settings.values()):
        if isinstance(each, Mapping) and each.get("rope_type", each.get("type")) in _SWITCHES:
            length = each.get(_FIRST_TRAINING, getattr(config, _FIRST_TRAINING, None))
            if isinstance(length, int):
                yield length
