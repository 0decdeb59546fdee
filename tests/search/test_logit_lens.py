"""What a direction promotes, against transformers' own language-model head."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pm_audit.search.logit_lens import PROMOTED, promoted_tokens
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.text_format import TextFormat
from recipes.planted.linear import byte_tokenizer, plant


@pytest.fixture
def language_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(byte_tokenizer()),
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    torch.nn.init.uniform_(model.model.norm.weight, 0.1, 3.0)
    return model


def preference_model(model: LlamaForCausalLM) -> PreferenceModel:
    tokenizer = byte_tokenizer()
    return PreferenceModel.from_backbone(
        model.model,
        LinearHead(torch.ones(32)),
        name="tied",
        tokenizer=tokenizer,
        text_format=TextFormat("raw", tokenizer),
        sha256="0",
    )


def test_the_tokens_are_those_of_the_language_model_head(language_model):
    pm = preference_model(language_model)
    directions = torch.randn(6, 32)
    with torch.no_grad():
        logits = language_model.lm_head(language_model.model.norm(directions))
    for found, row in zip(promoted_tokens(pm, list(directions)), logits, strict=True):
        ids = row.argsort(descending=True).tolist()
        texts = [pm.tokenizer.decode([token]).strip() for token in ids if token]
        readable = [
            text for text in texts[:20] if text.isprintable() and text not in ("", "\ufffd")
        ]
        assert list(found) == readable[:PROMOTED]
        assert found


def test_a_planted_mark_promotes_itself():
    model = plant({"!": 0.4})
    backbone = model.pm.decoder.backbone
    direction = model.sae.W_dec[model.latent_of["!"]]
    assert promoted_tokens(model.pm, [direction]) == [()]
    backbone.config.tie_word_embeddings = True
    ((first, *_),) = promoted_tokens(model.pm, [direction])
    assert first == "!"
    assert promoted_tokens(model.pm, []) == []
