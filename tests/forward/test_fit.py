"""The fit on a sample of tokens is the fit on those tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pm_audit.forward.features import active_features
from pm_audit.forward.fit import fraction_unexplained, measure_fit, neighbours
from pm_audit.forward.trace import trace


@pytest.fixture
def traced(lab, llama):
    sae = lab.sae(1)
    sae.b_enc[[4, 20]] = -100.0
    return sae, trace(llama, [sae], lab.grid(), also=neighbours(sae, llama.depth))


def test_all_tokens_are_measured_unless_told_otherwise(llama, traced):
    sae, clean = traced
    fit = measure_fit(clean, sae)
    stream = clean.streams[1]
    assert fit.tokens == len(stream)
    assert fit.fvu == pytest.approx(fraction_unexplained(stream, sae.decode(sae.encode(stream))))
    assert len(fit.neighbour_fvu) == 2
    active = sae.encode(stream).features > 0
    assert fit.l0 == pytest.approx(float(active.sum(1).float().mean()))
    assert fit.dead_share == pytest.approx(float((~active.any(0)).float().mean()))
    assert fit.dead_share > 0
    cosine = torch.cosine_similarity(stream, sae.decode(sae.encode(stream)), dim=-1)
    assert fit.cosine == pytest.approx(float(cosine.mean()))


def test_positions_of_massive_norm_are_left_out_and_counted(llama, traced):
    sae, clean = traced
    stream = clean.streams[1].clone()
    stream[[0, 5]] *= 1000
    kept = [token for token in range(len(stream)) if token not in (0, 5)]
    massive = replace(
        clean,
        streams={**clean.streams, 1: stream},
        features={sae.name: active_features(sae, stream)},
    )
    fit = measure_fit(massive, sae)
    assert (fit.massive, fit.tokens) == (2, len(stream))
    decoded = sae.decode(sae.encode(stream[kept]))
    assert fit.fvu == pytest.approx(fraction_unexplained(stream[kept], decoded))
    assert fit.l0 == pytest.approx(int((sae.encode(stream[kept]).features > 0).sum()) / len(kept))


def test_a_sample_is_spread_over_all_of_them(llama, traced):
    sae, clean = traced
    total = len(clean.streams[1])
    fit = measure_fit(clean, sae, most=total // 3)
    sample = clean.streams[1][:: -(-total // (total // 3))]
    assert fit.tokens == len(sample) <= total // 3
    assert fit.fvu == pytest.approx(fraction_unexplained(sample, sae.decode(sae.encode(sample))))
    assert measure_fit(clean, sae, most=10 * total).tokens == total
