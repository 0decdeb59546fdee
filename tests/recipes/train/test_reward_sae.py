"""A reward loss weighs the error by gradients; tuning lowers it and resumes to the same weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pm_audit.errors import AuditError
from pm_audit.subject.activation import Relu, TopK
from pm_audit.subject.sae import Sae
from recipes.train import reward_sae
from recipes.train.reward_sae import RewardTuning, Tokens, TrainedSae, measure_losses, tune_sae
from recipes.train.unfinished import write_tensors
from tests.engine_lab import HIDDEN, build_sae

TUNING = RewardTuning(reward_batch=32, reward_epochs=6, reward_learning_rate=3e-3)


@pytest.fixture
def start() -> Sae:
    with torch.no_grad():
        return TrainedSae(build_sae(1, activation=TopK(6)))()


@pytest.fixture
def tokens() -> Tokens:
    """Tokens whose reward hangs on two directions, one for content and one for the last token."""
    torch.manual_seed(0)
    after = torch.arange(256) % 3 % 2
    directions = torch.eye(HIDDEN)[:2]
    gradients = torch.randn(256, 2, 1) * directions[after][:, None]
    return Tokens(torch.randn(256, HIDDEN), gradients, after)


@pytest.fixture
def shards(tokens: Tokens, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    for path, half in zip(paths, torch.arange(256).chunk(2), strict=True):
        names = ("stream", "gradients", "after")
        write_tensors({name: getattr(tokens, name)[half] for name in names}, path)
    return paths


def losses_of(sae: Sae, tokens: Tokens) -> reward_sae.Losses:
    with torch.no_grad():
        return measure_losses(sae, tokens, tokens.usual_gradients(), torch.tensor(32.0))


def by_hand(sae: Sae, tokens: Tokens) -> tuple[float, float]:
    """Return the effects of errors by a token's own gradients, and by all of its kind's."""
    with torch.no_grad():
        errors = tokens.stream - sae.decode(sae.encode(tokens.stream))
    own, usual = [], []
    for error, gradients, kind in zip(errors, tokens.gradients, tokens.after, strict=True):
        own += [float(error @ gradient) ** 2 for gradient in gradients]
        others = tokens.gradients[tokens.after == kind].flatten(0, 1)
        usual.append(sum(float(error @ other) ** 2 for other in others) / len(others))
    return sum(own) / len(own), sum(usual) / len(usual)


def test_the_reward_term_is_half_the_tokens_own_and_half_its_kinds(
    start: Sae, tokens: Tokens
) -> None:
    own, usual = by_hand(start, tokens)
    assert own != pytest.approx(usual, rel=1e-3)
    assert losses_of(start, tokens).reward.item() == pytest.approx((own + usual) / 2, rel=1e-4)


def test_an_sae_without_error_loses_nothing_but_by_its_frequent_latents(tokens: Tokens) -> None:
    both = torch.cat([torch.eye(HIDDEN), -torch.eye(HIDDEN)])
    sae = dataclasses.replace(
        build_sae(1, width=2 * HIDDEN, activation=Relu()),
        W_enc=both.T.contiguous(),
        b_enc=torch.zeros(2 * HIDDEN),
        W_dec=both,
        b_dec=torch.zeros(HIDDEN),
    )
    losses = losses_of(sae, tokens)
    assert losses.error.item() == pytest.approx(0, abs=1e-10)
    assert losses.reward.item() == pytest.approx(0, abs=1e-10)
    # of each coordinate's two latents one fires: half of all tokens, 0.4 above the limit
    assert losses.frequent.item() == pytest.approx(0.4, abs=0.05)


def test_content_is_weighted_and_strong_gradients_enter_more_often(tokens: Tokens) -> None:
    weighted = tokens.weighted(4.0).gradients / tokens.gradients
    expected = torch.where(tokens.after == 0, 2.0, 1.0)[:, None, None].expand_as(weighted)
    kept = tokens.gradients != 0
    torch.testing.assert_close(weighted[kept], expected[kept])

    norms = torch.tensor([0.1, 1.0, 1.0, 2.2, 50.0])
    few = Tokens(torch.zeros(5, 4), norms[:, None, None].expand(5, 1, 4) / 2, torch.zeros(5))
    assert few.often(3).tolist() == [0, 1, 2, 3, 3, 4, 4, 4]


def test_decoder_norms_change_nothing_but_the_scale_of_features(start: Sae) -> None:
    model = TrainedSae(start)
    stream = torch.randn(20, start.hidden_size)
    torch.testing.assert_close(
        model().decode(model().encode(stream)), start.decode(start.encode(stream))
    )
    with torch.no_grad():
        model.W_dec *= 3.0
    torch.testing.assert_close(model().W_dec.norm(dim=-1), torch.ones(start.width))
    torch.testing.assert_close(model().encode(stream).features, 3 * start.encode(stream).features)


def tuned(start: Sae, weights: dict[str, Tensor]) -> Sae:
    model = TrainedSae(start)
    model.load_state_dict(weights)
    return model()


def test_tuning_lowers_what_the_error_does_to_the_reward(
    start: Sae, tokens: Tokens, shards: list[Path], tmp_path: Path
) -> None:
    found = {}
    for weight in (0.0, 30.0):
        tuning = dataclasses.replace(TUNING, reward_weight=weight)
        state = tmp_path / f"{weight}.pt"
        weights = tune_sae(start, shards, tuning, most=3, seed=0, state=state)
        found[weight] = losses_of(tuned(start, weights), tokens)
    before = losses_of(start, tokens)
    assert found[30.0].reward < 0.5 * before.reward
    assert found[30.0].reward < 0.7 * found[0.0].reward
    assert found[0.0].error < found[30.0].error < before.error


def test_an_interrupted_tuning_goes_on_to_the_same_weights(
    start: Sae, shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward_sae, "EVERY", 4)
    unbroken = tune_sae(start, shards, TUNING, most=3, seed=0, state=tmp_path / "one.pt")
    calls = 0

    def die_at_ten(*arguments: object) -> reward_sae.Losses:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt
        return measure_losses(*arguments)

    state = tmp_path / "two.pt"
    monkeypatch.setattr(reward_sae, "measure_losses", die_at_ten)
    with pytest.raises(KeyboardInterrupt):
        tune_sae(start, shards, TUNING, most=3, seed=0, state=state)
    resumed = tune_sae(start, shards, TUNING, most=3, seed=0, state=state)
    assert calls > 11
    assert all(torch.equal(resumed[name], weight) for name, weight in unbroken.items())


@pytest.mark.parametrize(("batch", "epochs"), [(257, 6.0), (200, 0.0)])
def test_tokens_that_fill_no_batch_are_refused(
    start: Sae, shards: list[Path], tmp_path: Path, batch: int, epochs: float
) -> None:
    tuning = dataclasses.replace(TUNING, reward_batch=batch, reward_epochs=epochs)
    with pytest.raises(AuditError, match="256 tokens make no batch of 2"):
        tune_sae(start, shards, tuning, most=1, seed=0, state=tmp_path / "state.pt")


def test_only_topk_saes_are_tuned(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="trains TopK SAEs"):
        tune_sae(build_sae(1), [], TUNING, most=3, seed=0, state=tmp_path / "state.pt")
