"""A micro model whose rewards can be worked out on paper, interaction included.

Three letters matter.  ``a`` fires latent 0 with activation 1, ``b`` latent 1, ``c`` latent 2; all
other letters fire nothing.  Block 1 adds the activations up over the row (uniform attention times
the row's length, which is ``LENGTH`` tokens for every row that is meant to be read) and bends the
sum of the first two:

    reward = cap - relu(cap - a - b) + c        a, b, c: how many of each letter the row holds

With one a and one b and a cap of 1.5 the reward is 1.5 and not 2: each of them alone is worth 0.5
when the other is there, together they are worth 1.5, so the interaction is 0.5.  With a cap of 1
either is sufficient: each alone is worth nothing when the other is there.
"""

from __future__ import annotations

import torch

from pm_audit.subject.activation import Relu
from pm_audit.subject.sae import Sae
from recipes.planted.linear import Planted, as_preference_model, bare_llama, byte_tokenizer

LENGTH = 8
"""Tokens of every row, prompt and completion together."""

CAP = 1.5
"""Most that a and b can be worth together, unless another cap is given."""

LETTERS = "abc"

_SUMMED = 3
"""First coordinate of the sums over the row; the letters' own coordinates come before."""

_REWARD = 6
_CONSTANT = 7
"""Coordinate that is one for every token, so that no stream is zero."""
_HIDDEN = 8


def micro(*, cap: float = CAP) -> Planted:
    """Build the micro model, with an SAE whose latents are the letters."""
    tokenizer = byte_tokenizer()
    backbone = bare_llama(_HIDDEN, depth=2, vocabulary=len(tokenizer), intermediate=1)
    mixing = backbone.layers[1]
    with torch.no_grad():
        backbone.embed_tokens.weight[:, _CONSTANT] = 1.0
        for latent, letter in enumerate(LETTERS):
            token = tokenizer.convert_tokens_to_ids(letter)
            backbone.embed_tokens.weight[token, latent] = 1.0
            mixing.self_attn.v_proj.weight[latent, latent] = float(LENGTH)
            mixing.self_attn.o_proj.weight[_SUMMED + latent, latent] = 1.0
        mixing.mlp.gate_proj.weight[0, _SUMMED : _SUMMED + 2] = -1.0
        mixing.mlp.gate_proj.bias.fill_(cap)
        mixing.mlp.up_proj.bias.fill_(1.0)
        mixing.mlp.down_proj.weight[_REWARD, 0] = -1.0
    head = torch.zeros(_HIDDEN)
    head[_REWARD] = head[_SUMMED + 2] = 1.0
    letters = torch.eye(len(LETTERS), _HIDDEN)
    sae = Sae(
        name="letters",
        layer=0,
        architecture="planted",
        source="planted",
        sha256="",
        W_enc=letters.T.contiguous(),
        b_enc=torch.zeros(len(LETTERS)),
        W_dec=letters,
        b_dec=torch.eye(_HIDDEN)[_CONSTANT],
        activation=Relu(),
    )
    pm = as_preference_model(backbone, head, tokenizer, name="micro", bias=cap, text_format="raw")
    latent_of = {letter: latent for latent, letter in enumerate(LETTERS)}
    return Planted(pm, sae, torch.ones(len(LETTERS)), latent_of)
