"""The flat layout: every token once, where it is said to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.errors import AuditError
from pm_audit.forward.grid import Grid, Row


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        prompt = draw(st.integers(0, 2))
        # Few distinct tokens, so that prefixes collide by chance and not only by design.
        tokens = draw(st.lists(st.integers(0, 1), min_size=1, max_size=6))
        start = draw(st.integers(0, len(tokens)))
        stop = draw(st.none() | st.integers(start, len(tokens)))
        rows.append(Row(prompt, tuple(tokens), start, stop))
    return Grid(tuple(rows))


@given(grids())
def test_each_row_can_be_read_back_from_the_layout(grid):
    layout = grid.layout
    for index, row in enumerate(grid.rows):
        positions = np.arange(len(row.token_ids))
        flat = layout.locate(np.full(len(positions), index), positions)
        assert tuple(layout.token_ids[flat]) == row.token_ids
        assert tuple(layout.positions[flat]) == tuple(positions)
        assert layout.readout[index] == flat[-1]


@given(grids())
def test_completion_tokens_are_each_rows_own(grid):
    layout = grid.layout
    owners = layout.completion_tokens.tolist()
    assert len(set(owners)) == len(owners)
    for index, row in enumerate(grid.rows):
        own = slice(*layout.completion_offsets[index : index + 2])
        flat = layout.completion_tokens[own]
        assert tuple(layout.token_ids[flat]) == row.token_ids[row.completion_start :]
        assert (layout.completion_row[own] == index).all()
        assert layout.completion_position[own].tolist() == list(
            range(row.completion_start, len(row.token_ids))
        )


@given(grids())
def test_the_formats_own_tokens_are_counted_from_the_end(grid):
    for index, row in enumerate(grid.rows):
        own = slice(*grid.layout.completion_offsets[index : index + 2])
        places = grid.layout.completion_place[own].tolist()
        stop = len(row.token_ids) if row.completion_stop is None else row.completion_stop
        after = len(row.token_ids) - stop
        assert places == [0] * (stop - row.completion_start) + list(range(after, 0, -1))


@given(grids(), st.integers(1, 6))
def test_a_cut_row_keeps_what_is_left_of_its_completion(grid, length):
    for row in grid.rows:
        cut = row.cut(length)
        assert cut.token_ids == row.token_ids[:length]
        assert cut.completion_start == min(row.completion_start, length)
        kept = row.token_ids[row.completion_start : row.completion_stop][
            : max(0, length - row.completion_start)
        ]
        assert cut.token_ids[cut.completion_start : cut.completion_stop] == kept


def test_a_shared_prompt_is_laid_out_once():
    rows = tuple(Row(0, (1, 2, 3, last), 3) for last in range(10, 20))
    assert len(Grid(rows).layout.token_ids) == 3 + 10


def test_a_boundary_that_merged_differently_is_not_shared():
    grid = Grid((Row(0, (1, 2, 3, 4), 3), Row(0, (1, 9, 4), 2)))
    assert grid.layout.prefix_length.tolist() == [1]


def test_an_empty_grid_and_a_completion_outside_its_row_are_refused():
    with pytest.raises(AuditError, match="no rows"):
        Grid(())
    with pytest.raises(
        AuditError, match="row 1 of the grid has 2 tokens and its completion starts"
    ):
        Grid((Row(0, (1,), 0), Row(0, (1, 2), 3)))
    for stop in (0, 3):
        with pytest.raises(AuditError, match=f"its completion stops at {stop}"):
            Grid((Row(0, (1, 2), 1, stop),))
