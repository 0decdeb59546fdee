from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.errors import SaeError
from pm_audit.subject.activation import Activation, Gated, GroupMax, JumpRelu, Relu, TopK
from pm_audit.subject.sae import Normalisation, Sae

HIDDEN, LATENT, TOKENS = 6, 24, 9


def build(activation: Activation, *, seed: int = 0, **changes: object) -> Sae:
    noise = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise)

    given_fields = {
        "name": "tiny",
        "layer": 2,
        "architecture": type(activation).__name__.lower(),
        "source": "test",
        "sha256": "0" * 64,
        "W_enc": random(HIDDEN, LATENT),
        "b_enc": random(LATENT),
        "W_dec": random(LATENT, HIDDEN),
        "b_dec": random(HIDDEN),
        "activation": activation,
        "input_bias": random(HIDDEN),
    }
    return Sae(**(given_fields | changes))  # type: ignore[arg-type]


def activations(seed: int = 1) -> list[Activation]:
    noise = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(LATENT, generator=noise) for _ in range(4)]
    return [
        Relu(),
        JumpRelu(vectors[0].abs()),
        JumpRelu(torch.tensor(0.7)),
        Gated(vectors[1], vectors[2], vectors[3]),
        TopK(5),
        GroupMax(6),
    ]


def stream(seed: int = 2) -> torch.Tensor:
    return 3 * torch.randn(TOKENS, HIDDEN, generator=torch.Generator().manual_seed(seed)) + 1


@pytest.mark.parametrize("activation", activations(), ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("normalisation", list(Normalisation))
def test_selected_latents_are_encoded_as_all_are(
    activation: Activation, normalisation: Normalisation
) -> None:
    sae = build(activation, normalisation=normalisation)
    chosen = torch.tensor([3, 0, 23, 11])
    everything = sae.encode(stream()).features
    found = sae.encode_selected(stream(), chosen)
    assert torch.allclose(found.features, everything[:, chosen], atol=1e-5)
    torch.testing.assert_close(found.scale, sae.encode(stream()).scale)
    assert everything.min() >= 0
    assert everything.count_nonzero() > 0


@given(seed=st.integers(0, 2**31), share=st.floats(0, 1), kind=st.sampled_from(list(Normalisation)))
def test_decoding_is_affine_in_the_features(seed: int, share: float, kind: Normalisation) -> None:
    sae = build(Relu(), seed=seed, normalisation=kind, W_skip=torch.eye(HIDDEN) / 3)
    encoding = sae.encode(stream(seed + 1))
    other = torch.rand_like(encoding.features)
    mixed = replace(encoding, features=share * encoding.features + (1 - share) * other)
    expected = share * sae.decode(encoding) + (1 - share) * sae.decode(
        replace(encoding, features=other)
    )
    assert torch.allclose(sae.decode(mixed), expected, atol=1e-4)


def test_ablating_a_feature_moves_the_stream_by_its_scaled_decoder_row() -> None:
    sae = build(Relu(), normalisation=Normalisation.CONSTANT_NORM)
    encoding = sae.encode(stream())
    ablated = encoding.features.clone()
    ablated[:, 4] = 0
    moved = sae.decode(encoding) - sae.decode(replace(encoding, features=ablated))
    by_hand = (encoding.scale * encoding.features[:, 4])[:, None] * sae.W_dec[4]
    assert torch.allclose(moved, by_hand, atol=1e-5)


@pytest.mark.parametrize(
    "normalisation",
    [Normalisation.LAYER_NORM, Normalisation.CONSTANT_NORM],
)
def test_an_identity_dictionary_gives_the_stream_back(normalisation: Normalisation) -> None:
    both_signs = torch.cat([torch.eye(HIDDEN), -torch.eye(HIDDEN)])
    sae = build(
        Relu(),
        W_enc=both_signs.T.contiguous(),
        W_dec=both_signs,
        b_enc=torch.zeros(2 * HIDDEN),
        b_dec=torch.zeros(HIDDEN),
        input_bias=None,
        normalisation=normalisation,
        epsilon=0.0,
    )
    assert torch.allclose(sae.decode(sae.encode(stream())), stream(), atol=1e-5)


def test_a_skip_path_joins_the_offset() -> None:
    skip = torch.randn(HIDDEN, HIDDEN)
    plain = build(TopK(3))
    skipping = replace(plain, W_skip=skip)
    difference = skipping.decode(skipping.encode(stream())) - plain.decode(plain.encode(stream()))
    assert torch.allclose(difference, stream() @ skip, atol=1e-4)


def test_moving_changes_every_tensor() -> None:
    sae = build(Gated(*(torch.zeros(LATENT) for _ in range(3)))).to(dtype=torch.float64)
    assert sae.decode(sae.encode(stream().double())).dtype == torch.float64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b_dec": torch.zeros(HIDDEN + 1)}, r"b_dec has shape \[7\], expected \[6\]"),
        ({"W_enc": torch.zeros(LATENT, HIDDEN)}, "W_enc has shape"),
        ({"b_enc": torch.full((LATENT,), float("nan"))}, "b_enc holds NaN"),
        ({"activation": JumpRelu(torch.zeros(3))}, "threshold has shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SaeError, match=message):
        build(Relu(), **changes) if "activation" not in changes else build(**changes)  # type: ignore[arg-type]
