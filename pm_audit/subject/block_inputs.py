"""What a backbone hands to its blocks: rotary tables, position ids, whatever it computes once.

Recorded by running the backbone itself, so that nothing here knows a family by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class BlockInputs:
    """What the backbone hands to its blocks for some flat tokens."""

    embedded: Tensor
    """[1 token hidden], the stream before the first block."""
    calls: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    """Positional (after the stream) and keyword arguments of each block."""

    def at(self, tokens: Tensor) -> BlockInputs:
        """Return the same for some of the tokens [selected], by their places among these."""
        total, taken = self.embedded.shape[1], dict[int, Tensor]()

        def of(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(of, value))
            if isinstance(value, dict):
                return {name: of(one) for name, one in value.items()}
            if not isinstance(value, Tensor) or value.ndim < 2 or value.shape[1] != total:
                return value
            # blocks share their tables
            if id(value) not in taken:
                taken[id(value)] = value.index_select(1, tokens.to(value.device))
            return taken[id(value)]

        return BlockInputs(of(self.embedded), of(self.calls))
