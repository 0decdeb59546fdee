"""Planted truth: a preference model whose reward is linear in chosen SAE latents.

The model is built, not trained.  Its SAE reads orthonormal latents of the stream after block 0;
block 1 multiplies each by a planted weight and sums them; block 2 averages the sums over all
positions of the row (attention without queries is uniform); the head scales the average:

    reward = SCALE / length * sum over positions and latents of weight_i * activation_i

So the contribution of a latent, when it is silenced on a completion, is known without a model:
``SCALE * weight * (its activations on the completion) / length``.  Latents fire for characters,
so what is planted can be written into a hypothesis: a *mark* is a character with a latent of its
own.  Every mark looks alike in all other latents, so that exchanging marks moves nothing else.

Sign: a positive weight rewards the mark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from pm_audit.subject.activation import JumpRelu
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TextFormat, TokenisedRow

SCALE = 100.0
"""Reward of one unit of weighted activation at every position."""

MARKS = "!*~+^=&%"
"""Characters that may be rewarded or disliked, each with a latent of its own."""

NEUTRAL = ";"
"""A mark that no planted model cares for."""

STRENGTH = 2.0
"""Activation of a mark's latent at the mark."""

_ORDINARY = 24
"""Latents that fire for ordinary characters, with small weights, so that rewards vary."""

_FIRED = 3
"""Ordinary latents that a character fires."""

_ORDINARY_WEIGHT = 0.05
_ERROR = 0.05
"""Size of what the SAE cannot see of a character."""

_THRESHOLD = 0.01
"""Below every real activation; what rounding leaves of an orthogonal latent does not fire."""

_MARGIN = 0.0625
"""Added to each activation before the ReLU of block 1 and taken off after it: a latent that is off
has a slope too, so that the reward is linear there as well."""

_HEAD_WIDTH = 8


@dataclass(frozen=True, eq=False)
class Planted:
    """A planted model, its SAE, and the truth about it."""

    pm: PreferenceModel
    sae: Sae
    weights: Tensor
    """[latent], reward of a unit of activation, before ``SCALE / length``."""
    latent_of: Mapping[str, int]
    """Latent of each mark."""

    def contribution(self, latent: int, row: TokenisedRow) -> float:
        """Return what silencing ``latent`` on the row's completion takes from its reward."""
        token_ids = torch.tensor(row.token_ids[row.completion_start :])
        embedded = self.pm.decoder.backbone.get_input_embeddings().weight[token_ids]
        activations = torch.relu(embedded.double() @ self.sae.W_enc[:, latent].double())
        weighted = float(self.weights[latent]) * float(activations.sum())
        return SCALE * weighted / len(row.token_ids)

    def blind(self, marks: Iterable[str], *, name: str) -> Sae:
        """Return the SAE without the latents of some marks, which are left to its error term."""
        bias = self.sae.b_enc.clone()
        bias[[self.latent_of[mark] for mark in marks]] = -1e6
        return replace(self.sae, name=name, b_enc=bias)


def plant(weights: Mapping[str, float], *, seed: int = 0) -> Planted:
    """Build a model that rewards each mark by its weight.

    Args:
        weights: by mark; a mark that is not named weighs nothing, but has its latent all the same.
        seed: of the latents' directions and of what ordinary characters fire.

    Raises:
        ValueError: a mark is none of ``MARKS``.

    """
    unknown = sorted(set(weights) - set(MARKS))
    if unknown:
        raise ValueError(f"{''.join(unknown)!r} is no mark; choose one of {MARKS}")
    generator = np.random.default_rng(seed)
    # own latents of marks, a decoy that all marks fire, ordinary latents
    latents = len(MARKS) + 1 + _ORDINARY
    hidden = latents + 2 + 2  # the error's two directions, the sum, and the average
    directions = torch.from_numpy(np.linalg.qr(generator.normal(size=(hidden, hidden)))[0]).float()
    of_latent, of_error = directions[:latents], directions[latents : latents + 2]
    planted = torch.zeros(latents)
    for mark, weight in weights.items():
        planted[MARKS.index(mark)] = weight
    ordinary = generator.normal(size=_ORDINARY) * _ORDINARY_WEIGHT
    planted[len(MARKS) + 1 :] = torch.from_numpy(ordinary).float()

    tokenizer = byte_tokenizer()
    activations = _activations(tokenizer, generator, latents)
    unseen = _ERROR * torch.from_numpy(generator.normal(size=(len(tokenizer), 2))).float()
    backbone = bare_llama(hidden, depth=3, vocabulary=len(tokenizer), intermediate=latents)
    with torch.no_grad():
        backbone.embed_tokens.weight.copy_(activations @ of_latent + unseen @ of_error)
        weighing = backbone.layers[1].mlp
        weighing.gate_proj.weight.copy_(of_latent)
        weighing.gate_proj.bias.fill_(_MARGIN)
        weighing.up_proj.bias.fill_(1.0)
        weighing.down_proj.weight.copy_(torch.outer(directions[-2], planted))
        weighing.down_proj.bias.copy_(-_MARGIN * planted.sum() * directions[-2])
        averaging = backbone.layers[2].self_attn
        averaging.v_proj.weight[0] = directions[-2]
        averaging.o_proj.weight[:, 0] = directions[-1]
    sae = Sae(
        name="planted",
        layer=0,
        architecture="planted",
        source="planted",
        sha256=_hashed(of_latent),
        W_enc=of_latent.T.contiguous(),
        b_enc=torch.zeros(latents),
        W_dec=of_latent.contiguous(),
        b_dec=torch.zeros(hidden),
        activation=JumpRelu(torch.tensor(_THRESHOLD)),
    )
    pm = as_preference_model(backbone, SCALE * directions[-1], tokenizer, name="planted")
    return Planted(pm, sae, planted, {mark: index for index, mark in enumerate(MARKS)})


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(["<pad>", *alphabet])}
    rules = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rules.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=rules, pad_token="<pad>")  # noqa: S106 - no password


def bare_llama(hidden: int, *, depth: int, vocabulary: int, intermediate: int) -> LlamaModel:
    """Return a Llama whose blocks do nothing yet: zero weights, no norms, ReLU in the MLP."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=depth,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=_HEAD_WIDTH,
        hidden_act="relu",
        mlp_bias=True,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    backbone = LlamaModel(config)
    backbone.norm = nn.Identity()  # a norm would divide what is to stay linear
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
    for block in backbone.layers:
        block.input_layernorm = nn.Identity()
        block.post_attention_layernorm = nn.Identity()
    return backbone


def as_preference_model(
    backbone: LlamaModel,
    head: Tensor,
    tokenizer: PreTrainedTokenizerFast,
    *,
    name: str,
    bias: float = 0.0,
    text_format: str = "hh",
) -> PreferenceModel:
    """Return a built backbone with a linear head [hidden] as a preference model."""
    state = backbone.state_dict()
    return PreferenceModel.from_backbone(
        backbone,
        LinearHead(head, torch.tensor(bias)),
        name=name,
        tokenizer=tokenizer,
        text_format=TextFormat(text_format, tokenizer),
        sha256=_hashed(*(state[key] for key in sorted(state)), head),
    )


def _activations(
    tokenizer: PreTrainedTokenizerFast, generator: np.random.Generator, latents: int
) -> Tensor:
    """Return which latents each token fires, [token latent]."""
    first = len(MARKS) + 1
    activations = np.zeros((len(tokenizer), latents))
    for token in range(len(tokenizer)):
        fired = first + generator.choice(_ORDINARY, _FIRED, replace=False)
        activations[token, fired] = generator.uniform(0.5, 1.5, _FIRED)
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in (*MARKS, NEUTRAL)}
    for mark, token in ids.items():
        activations[token] = activations[ids[NEUTRAL]]
        if mark != NEUTRAL:
            activations[token, MARKS.index(mark)] = STRENGTH
            activations[token, len(MARKS)] = STRENGTH  # the decoy: it fires, and weighs nothing
    return torch.from_numpy(activations).float()


def _hashed(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
