"""The fit on a sample of tokens is the fit on those tokens."""

from __future__ import annotations

import pytest

from pm_audit.forward.fit import fraction_unexplained, measure_fit, neighbours
from pm_audit.forward.trace import trace


@pytest.fixture
def traced(lab, llama):
    sae = lab.sae(1)
    return sae, trace(llama, [sae], lab.grid(), also=neighbours(sae, llama.depth))


def test_all_tokens_are_measured_unless_told_otherwise(llama, traced):
    sae, clean = traced
    fit = measure_fit(clean, sae)
    stream = clean.streams[1]
    assert fit.tokens == len(stream)
    assert fit.fvu == pytest.approx(fraction_unexplained(stream, sae.decode(sae.encode(stream))))
    assert len(fit.neighbour_fvu) == 2


def test_a_sample_is_spread_over_all_of_them(llama, traced):
    sae, clean = traced
    total = len(clean.streams[1])
    fit = measure_fit(clean, sae, most=total // 3)
    sample = clean.streams[1][:: -(-total // (total // 3))]
    assert fit.tokens == len(sample) <= total // 3
    assert fit.fvu == pytest.approx(fraction_unexplained(sample, sae.decode(sae.encode(sample))))
    assert measure_fit(clean, sae, most=10 * total).tokens == total
