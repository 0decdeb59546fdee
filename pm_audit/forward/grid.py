"""The grid: prompts x completions, laid out as one flat, unpadded row of tokens.

Rows of one prompt share their longest common token prefix (never past the completion's start),
and that prefix is laid out once.  The flat layout is all shared prefixes first, in order of first
use, then what each row adds to its prefix, row by row.  Causal attention makes the sharing exact:
a token never sees what comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pm_audit.errors import AuditError

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """One completion of one prompt, tokenised jointly."""

    prompt: int
    """The prompt's index; rows with one index share their common prefix."""
    token_ids: tuple[int, ...]
    """Prompt and completion together, without padding."""
    completion_start: int
    """Position of the completion's first token; interventions touch this position and later."""
    completion_stop: int | None = None
    """Position after the completion's last token, where the format goes on; None for the end."""

    def cut(self, length: int) -> Row:
        """Return the first ``length`` tokens."""
        stop = None if self.completion_stop is None else min(self.completion_stop, length)
        return Row(self.prompt, self.token_ids[:length], min(self.completion_start, length), stop)


@dataclass(frozen=True)
class Grid:
    """Rows that are read together, and where their tokens lie in the flat layout.

    Raises:
        AuditError: at construction, if the grid is empty or a row has no tokens, or starts its
            completion outside its tokens.

    """

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if not self.rows:
            raise AuditError("the grid has no rows; give at least one prompt and one completion")
        for index, row in enumerate(self.rows):
            if not row.token_ids or not 0 <= row.completion_start <= len(row.token_ids):
                raise AuditError(
                    f"row {index} of the grid has {len(row.token_ids)} tokens and its completion "
                    f"starts at {row.completion_start}; tokenise prompt and completion together"
                )
            stop = row.completion_stop
            if stop is not None and not row.completion_start <= stop <= len(row.token_ids):
                raise AuditError(
                    f"row {index} of the grid has {len(row.token_ids)} tokens and its completion "
                    f"stops at {stop}; tokenise prompt and completion together"
                )

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def layout(self) -> Layout:
        """Where the rows' tokens lie; computed once."""
        return _lay_out(self.rows)


@dataclass(frozen=True, eq=False)
class Layout:
    """The flat layout of a grid; every array counts flat tokens from 0."""

    token_ids: Integers
    """[token]"""
    positions: Integers
    """[token], position within its row."""
    prefix_start: Integers
    """[prefix], flat index of each shared prefix's first token."""
    prefix_length: Integers
    """[prefix]"""
    prefix_of: Integers
    """[row], which shared prefix the row continues."""
    own_start: Integers
    """[row], flat index of the first token that is the row's own."""
    length: Integers
    """[row], all tokens of the row, shared and own."""
    completion_offsets: Integers
    """[row + 1], each row's slice of the completion tokens below."""
    completion_tokens: Integers
    """[completion token], flat index, row by row."""
    completion_row: Integers
    """[completion token], the row it belongs to."""
    completion_position: Integers
    """[completion token], position within its row."""
    completion_place: Integers
    """[completion token], 0 for the completion's own; for those that the format writes after it,
    counted from the row's end, which is 1."""

    @property
    def shared_length(self) -> Integers:
        """[row], how many leading tokens of the row lie in its shared prefix."""
        return self.prefix_length[self.prefix_of]

    @property
    def shared_start(self) -> Integers:
        """[row], flat index of the row's first token."""
        return self.prefix_start[self.prefix_of]

    @property
    def readout(self) -> Integers:
        """[row], flat index of the row's last token, where the reward is read."""
        return self.own_start + self.length - self.shared_length - 1

    def locate(self, row: Integers, position: Integers) -> Integers:
        """Return the flat index of ``position`` of ``row``, elementwise."""
        shared = self.shared_length[row]
        own = self.own_start[row] + position - shared
        return np.where(position < shared, self.shared_start[row] + position, own)


def _lay_out(rows: Sequence[Row]) -> Layout:
    members: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        members.setdefault(row.prompt, []).append(index)
    prefix_of = np.zeros(len(rows), dtype=np.int64)
    prefixes: list[tuple[int, ...]] = []
    for prefix, indices in enumerate(members.values()):
        prefix_of[indices] = prefix
        prefixes.append(_shared_prefix([rows[index] for index in indices]))

    length = np.array([len(row.token_ids) for row in rows], dtype=np.int64)
    prefix_length = np.array([len(prefix) for prefix in prefixes], dtype=np.int64)
    own_length = length - prefix_length[prefix_of]
    prefix_start = _starts(prefix_length)
    own_start = prefix_length.sum() + _starts(own_length)
    own = [row.token_ids[prefix_length[prefix_of[i]] :] for i, row in enumerate(rows)]

    completion_start = np.array([row.completion_start for row in rows], dtype=np.int64)
    completion_length = length - completion_start
    offsets = np.concatenate([[0], np.cumsum(completion_length)])
    completion_row = np.repeat(np.arange(len(rows)), completion_length)
    completion_position = completion_start[completion_row] + _ramps(completion_length)
    completion_stop = np.array(
        [len(row.token_ids) if row.completion_stop is None else row.completion_stop for row in rows]
    )
    from_end = length[completion_row] - completion_position
    completion_tokens = (
        own_start[completion_row] + completion_position - prefix_length[prefix_of][completion_row]
    )
    return Layout(
        token_ids=np.array([token for part in [*prefixes, *own] for token in part], dtype=np.int64),
        positions=np.concatenate(
            [_ramps(prefix_length), _ramps(own_length) + np.repeat(length - own_length, own_length)]
        ),
        prefix_start=prefix_start,
        prefix_length=prefix_length,
        prefix_of=prefix_of,
        own_start=own_start,
        length=length,
        completion_offsets=offsets,
        completion_tokens=completion_tokens,
        completion_row=completion_row,
        completion_position=completion_position,
        completion_place=np.where(
            completion_position < completion_stop[completion_row], 0, from_end
        ),
    )


def _shared_prefix(rows: Sequence[Row]) -> tuple[int, ...]:
    # The readout is always a row's own token, so that an empty completion has somewhere to read.
    most = min(min(row.completion_start, len(row.token_ids) - 1) for row in rows)
    first, last = min(row.token_ids for row in rows), max(row.token_ids for row in rows)
    shared = 0
    while shared < most and first[shared] == last[shared]:
        shared += 1
    return first[:shared]


def _starts(lengths: Integers) -> Integers:
    return np.cumsum(lengths) - lengths


def _ramps(lengths: Integers) -> Integers:
    """Return 0, 1, ... within each of the consecutive runs of these lengths."""
    return np.arange(lengths.sum()) - np.repeat(_starts(lengths), lengths)
