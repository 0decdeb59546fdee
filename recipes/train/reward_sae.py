"""SAEs tuned for the reward: a finished SAE is trained on by what its error does to the reward.

The loss of a token is its squared error ``e``, as a share of the variance, plus the squared change
of the reward that the error makes to first order, ``<e, g>`` with ``g`` the reward's gradient, plus
a penalty on the activity of frequent latents.  The second term is half the token's own, half its
mean over the gradients of all tokens of the same kind: one gradient a token says little, and few
tokens are read.  Fine-tuning an SAE by what the model does with its reconstruction costs few tokens
(https://arxiv.org/abs/2503.17272).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pm_audit.errors import AuditError
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.subject.activation import TopK
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from recipes.train.activations import Corpus
from recipes.train.checkpoint import Checkpoint
from recipes.train.gradients import gather_gradients
from recipes.train.pm import Report
from recipes.train.sae_files import write_halves
from recipes.train.schedule import require_batch, warm_cosine
from recipes.train.unfinished import read_tensors

FREQUENT = 0.1
"""Share of tokens above which a latent's activity is penalised."""

WARMUP, EVERY = 50, 50
"""Steps of warm-up; steps between checkpoints."""

LEAST_RATE = 0.02
"""Share of the learning rate that is left at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTuning:
    """Settings of a tuning; the defaults made the default PM's `layer_6`."""

    reward_shards: int = 9
    """Shards gathered, each of the completions of 200 prompts."""
    reward_weight: float = 30.0
    """Of the error's effect on the reward, against its share of the variance."""
    content_weight: float = 5.0
    """Of the effect at content tokens, against that at the tokens after the completion: words of
    a template err alike in every prompt, so a mean over prompts leaves their errors as they are."""
    frequent_weight: float = 0.03
    """Of the activity of frequent latents."""
    reward_epochs: float = 3.0
    """Passes over the gathered tokens."""
    reward_batch: int = 1024
    reward_learning_rate: float = 5e-4


class TrainedSae(nn.Module):
    """The weights of an SAE with decoder rows of any norm, as sae-lens trains and stores them."""

    def __init__(self, start: Sae) -> None:
        super().__init__()
        self.start = start
        self.W_enc = nn.Parameter(start.W_enc.clone())
        self.b_enc = nn.Parameter(start.b_enc.clone())
        self.W_dec = nn.Parameter(start.W_dec.clone())
        self.b_dec = nn.Parameter(start.b_dec.clone())

    def forward(self) -> Sae:
        """Return the SAE with its decoder's norms folded into the encoder."""
        norms = self.W_dec.norm(dim=-1)
        return replace(
            self.start,
            W_enc=self.W_enc * norms,
            b_enc=self.b_enc * norms,
            W_dec=self.W_dec / norms[:, None],
            b_dec=self.b_dec,
            input_bias=None if self.start.input_bias is None else self.b_dec,
        )


@dataclass(frozen=True, eq=False)
class Losses:
    """Terms of one batch of tokens, each a scalar."""

    error: Tensor
    """Squared error, as a share of the variance."""
    reward: Tensor
    """Squared change of the reward by a token's error, to first order, in units of sigma."""
    frequent: Tensor
    """Activity of frequent latents, as a share, times how much more than ``FREQUENT`` they fire."""

    def total(self, tuning: RewardTuning) -> Tensor:
        """Return the weighted sum."""
        return (
            self.error + tuning.reward_weight * self.reward + tuning.frequent_weight * self.frequent
        )


@dataclass(frozen=True, eq=False)
class Tokens:
    """Gathered tokens."""

    stream: Tensor
    """[token hidden]"""
    gradients: Tensor
    """[token point hidden], of the reward in units of sigma."""
    after: Tensor
    """[token], 0 for content, else which token after the completion."""

    @classmethod
    def read(cls, shards: Sequence[Path]) -> Tokens:
        """Read what ``gather_gradients`` wrote."""
        read = [read_tensors(shard) for shard in shards]
        return cls(**{name: torch.cat([shard[name] for shard in read]) for name in read[0]})

    def take(self, chosen: Tensor, device: torch.device) -> Tokens:
        """Return some tokens, on a device."""
        taken = (self.stream[chosen], self.gradients[chosen].float(), self.after[chosen])
        return Tokens(*(one.to(device) for one in taken))

    def often(self, most: int) -> Tensor:
        """Return each token once to ``most`` times, by its gradients' norm over the median."""
        norms = self.gradients.float().square().sum(dim=(1, 2)).sqrt()
        # after the last block most gradients are zero, and so is the median
        ratio = (norms / norms.median()).nan_to_num(1.0)
        return torch.repeat_interleave(ratio.round().clamp(1, most).long())

    def weighted(self, content: float) -> Tokens:
        """Return the tokens with the effects at content tokens weighted."""
        weights = torch.where(self.after == 0, content**0.5, 1.0).to(self.gradients.dtype)
        return replace(self, gradients=self.gradients * weights[:, None, None])

    def usual_gradients(self) -> Tensor:
        """Return [kind hidden direction]: roots of the mean outer product of a kind's gradients."""
        roots = []
        for kind in range(int(self.after.max()) + 1):
            own = self.gradients[self.after == kind].flatten(0, 1).float()
            values, vectors = torch.linalg.eigh(own.T @ own / len(own))
            roots.append(vectors * values.clamp_min(0).sqrt())
        return torch.stack(roots)


def measure_losses(sae: Sae, tokens: Tokens, usual: Tensor, variance: Tensor) -> Losses:
    """Return the losses of tokens.

    Args:
        sae: differentiable in its weights.
        tokens: of one batch.
        usual: [kind hidden direction], roots of all tokens' gradients.
        variance: mean squared distance of all tokens to their mean.

    """
    encoding = sae.encode(tokens.stream)
    error = tokens.stream - sae.decode(encoding)
    own = torch.einsum("th,tph->tp", error, tokens.gradients)
    alike = [error[tokens.after == kind] @ root for kind, root in enumerate(usual)]
    usually = torch.stack([one.square().sum() for one in alike]).sum() / len(error)
    features = encoding.features
    excess = ((features > 0).float().mean(dim=0) - FREQUENT).clamp_min(0)
    return Losses(
        error=error.square().sum(dim=-1).mean() / variance,
        reward=(own.square().mean() + usually) / 2,
        frequent=(features @ excess).sum() / features.detach().sum(),
    )


def tune_for_reward(
    pm: PreferenceModel,
    folder: Path,
    corpus: Corpus,
    tuning: RewardTuning,
    work: Path,
    *,
    seed: int,
    report: Report,
) -> None:
    """Tune the SAE in ``folder``, in its place; what is unfinished lies in ``work``."""
    start = load_sae(folder).to(pm.device)
    report(f"layer {start.layer}: tuning for the reward")
    name = f"layer_{start.layer}"
    shards = gather_gradients(
        pm,
        start,
        corpus,
        shards=tuning.reward_shards,
        folder=work / f"{name}_gradients",
        seed=seed,
        report=report,
    )
    state = work / f"{name}_tuned.pt"
    weights = tune_sae(start, shards, tuning, most=corpus.suffix_copies, seed=seed, state=state)
    write_halves(weights, folder)


def tune_sae(
    start: Sae,
    shards: Sequence[Path],
    tuning: RewardTuning,
    *,
    most: int,
    seed: int,
    state: Path,
) -> dict[str, Tensor]:
    """Train an SAE on and return its weights, as sae-lens names them.

    Args:
        start: a TopK SAE.
        shards: that ``gather_gradients`` wrote at its layer.
        tuning: how it is trained.
        most: how often a token enters at most; one of the median gradient's norm enters once.
        seed: of the batches.
        state: file of the checkpoint, from which an interrupted run goes on to the same weights.

    Raises:
        AuditError: the SAE is not TopK, the tokens fill no batch, or the checkpoint is torn.

    """
    if not isinstance(start.activation, TopK):
        raise AuditError(
            f"{start.source}: a reward loss trains TopK SAEs, this one is {start.architecture}; "
            "choose --architecture topk"
        )
    tokens, device = Tokens.read(shards), start.W_dec.device
    order, variance = tokens.often(most), tokens.stream.var(dim=0).sum()
    tokens = tokens.weighted(tuning.content_weight)
    usual = tokens.usual_gradients().to(device)
    require_batch(len(order), tuning.reward_batch, tuning.reward_epochs)
    steps = int(len(order) * tuning.reward_epochs) // tuning.reward_batch
    model = TrainedSae(start)
    optimiser = torch.optim.Adam(model.parameters(), lr=tuning.reward_learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: warm_cosine(step, warmup=WARMUP, steps=steps, least=LEAST_RATE)
    )
    checkpoint = Checkpoint(state, asdict(tuning))
    done = checkpoint.restore(model, optimiser, schedule)
    batches = _batches(order, tuning.reward_batch, seed=seed)
    for step, chosen in enumerate(itertools.islice(batches, done, steps), done + 1):
        losses = measure_losses(model(), tokens.take(chosen, device), usual, variance)
        optimiser.zero_grad()
        losses.total(tuning).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % EVERY == 0:
            checkpoint.save(step, model, optimiser, schedule)
    return {name: weight.detach().cpu() for name, weight in model.named_parameters()}


def _batches(order: Tensor, size: int, *, seed: int) -> Iterator[Tensor]:
    """Yield batches of the tokens in ``order``, shuffled in every pass, for ever."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        shuffled = order[torch.randperm(len(order), generator=generator)]
        for first in range(0, len(shuffled) - size + 1, size):
            yield shuffled[first : first + size]
