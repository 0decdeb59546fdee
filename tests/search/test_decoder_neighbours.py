"""A concept split over two latents: each is reported with the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pm_audit.search.decoder_neighbours import nearest


def test_the_nearest_come_first_and_the_latent_itself_never(model) -> None:
    decoder = model.sae.W_dec.clone()  # its rows are orthonormal
    for part in (4, 5):
        decoder[part] = 0.8 * decoder[part] + 0.6 * decoder[0]
    near = nearest(replace(model.sae, W_dec=decoder), 0, most=3)
    assert {index for index, _ in near[:2]} == {4, 5}
    assert [cosine for _, cosine in near] == pytest.approx([0.6, 0.6, 0.0], abs=1e-6)
