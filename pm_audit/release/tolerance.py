"""How large a change must be to count, however certain it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Smaller changes do not count, however certain they are."""

    gap: float = 0.1
    """Growth of the gap's size, in sigma."""
    closure: float = 0.1
    """Loss of closure, transfer or sufficiency, as a share."""
    stability: float = 0.25
    """Loss of stability, a Jaccard index."""
    collateral: float = 0.1
    """Growth of the collateral, as a share of the gap."""
    fvu: float = 0.05
    """Growth of an SAE's fraction of variance unexplained."""
    contribution: float = 0.1
    """Size of a new causal feature's contribution, as a share of the gap."""
