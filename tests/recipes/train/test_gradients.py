"""Gathered gradients are those of the plain forward, in both orders; texts are cut as stated."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from pm_audit.forward.grid import Row
from pm_audit.forward.trace import Trace, trace
from recipes.train import gradients
from recipes.train.gradients import read_gradients
from tests.engine_lab import Plain, build_grid, build_pm, build_sae

LAYER, APPENDED = 1, (5, 6)


@pytest.fixture
def clean() -> Trace:
    pm = dataclasses.replace(build_pm("llama"), text_format=SimpleNamespace(appended=APPENDED))
    rows = [
        dataclasses.replace(row, token_ids=(*row.token_ids, *APPENDED)) for row in build_grid().rows
    ]
    return trace(pm, (build_sae(LAYER),), dataclasses.replace(build_grid(), rows=tuple(rows)))


def of_rows(clean: Trace, tokens: Tensor) -> tuple[Tensor, ...]:
    return tokens.split(np.diff(clean.grid.layout.completion_offsets).tolist())


def mean_over_prompt(clean: Trace) -> list[Tensor]:
    """Return each row's stream at the mean of its prompt: content, last token and the one before.

    Spelled out with loops.
    """
    streams = of_rows(clean, clean.streams[LAYER])
    level = []
    for row, stream in zip(clean.grid.rows, streams, strict=True):
        others = [
            one
            for other, one in zip(clean.grid.rows, streams, strict=True)
            if other.prompt == row.prompt
        ]
        content = torch.cat([one[:-2] for one in others]).mean(dim=0)
        ends = torch.stack([one[-2:] for one in others]).mean(dim=0)
        level.append(torch.cat([content.expand(len(stream) - 2, -1), ends]))
    return level


def test_gradients_are_those_of_the_plain_forward_in_units_of_sigma(
    clean: Trace,
) -> None:
    found = read_gradients(clean, LAYER, sigma=0.5)
    plain = Plain(clean.pm, clean.grid)
    level = mean_over_prompt(clean)
    expected = [
        plain.gradients(LAYER),
        plain.gradients(LAYER, {LAYER: lambda row, _: level[row]}),
    ]
    for point, gradient in enumerate(expected):
        # bf16 keeps eight bits
        np.testing.assert_allclose(
            0.5 * found["gradients"][:, point].float().numpy(),
            gradient,
            rtol=1e-2,
            atol=1e-2 * np.abs(gradient).max(),
        )
    torch.testing.assert_close(found["stream"], clean.streams[LAYER])


def test_tokens_after_the_completion_are_told_apart(clean: Trace) -> None:
    for after in of_rows(clean, read_gradients(clean, LAYER, sigma=1.0)["after"]):
        assert after.tolist() == [0] * (len(after) - 2) + [2, 1]


def test_a_cut_completion_keeps_its_beginning_and_what_is_appended() -> None:
    pm = SimpleNamespace(text_format=SimpleNamespace(appended=APPENDED))
    row = Row(0, (*range(10, 300), *APPENDED), 20)
    rng = random.Random(0)
    lengths = []
    for _ in range(200):
        cut = gradients._cut(pm, row, rng)
        assert cut.token_ids[-2:] == APPENDED
        assert cut.token_ids[:-2] == row.token_ids[: len(cut.token_ids) - 2]
        lengths.append(len(cut.token_ids) - 2 - row.completion_start)
    assert min(lengths) >= gradients.SHORTEST
    assert max(lengths) <= gradients.LONGEST
    assert np.median(lengths) == pytest.approx((3 * 96) ** 0.5, rel=0.2)
