"""How an SAE is named on a command line: ``NAME=PATH@LAYER``, or ``release/sae_id`` of SAELens."""

from __future__ import annotations

import re

_SPELLED_OUT = re.compile(r"(?:([A-Za-z0-9_.-]{1,80})=)?(.+?)(?:@(\d{1,4}))?")
_RELEASE = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)+")


def spelled_out(
    text: str, name: str | None = None, layer: int | None = None
) -> tuple[str, str | None, int | None]:
    """Return path, name and layer of ``NAME=PATH@LAYER``; the caller's name and layer go first."""
    found = _SPELLED_OUT.fullmatch(text)
    if found is None:
        return text, name, layer
    said = None if found[3] is None else int(found[3])
    return found[2], name or found[1], said if layer is None else layer


def looks_like_release(name: str) -> bool:
    """Whether ``name`` could be ``release/sae_id``; it may be a missing path too."""
    return bool(_RELEASE.fullmatch(name)) and ".." not in name.split("/")
