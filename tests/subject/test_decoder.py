"""The decoder: which backbones are spliced, which are refused, and what a block is handed."""

from __future__ import annotations

import pytest
import torch
from accelerate import dispatch_model
from torch import nn
from transformers import AutoConfig, AutoModel

from pm_audit.errors import ModelError
from pm_audit.subject.decoder import Decoder
from pm_audit.subject.kernels.packed_attention import (
    AttentionKind,
    SegmentGroup,
    attend_groups,
    attend_in,
)
from pm_audit.subject.preference_model import PreferenceModel

TINY = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
TOKENS = torch.arange(5)


def backbone(model_type: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return AutoModel.from_config(AutoConfig.for_model(model_type, **{**TINY, **settings})).eval()


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(backbone("llama"))


def alone(tokens: int, context: torch.Tensor | None = None) -> SegmentGroup:
    return SegmentGroup(first=0, count=1, length=tokens, context=context, context_length=None)


def test_blocks_run_one_by_one_equal_the_backbone(decoder):
    inputs = decoder.inputs(TOKENS, TOKENS)
    stream = inputs.embedded[0]
    with torch.no_grad():
        for layer in range(decoder.depth):
            stream = decoder.run(layer, stream, inputs, attend_in([alone(5)], None))
        hidden = decoder.finish(stream, TOKENS, TOKENS)
        expected = decoder.backbone(TOKENS[None]).last_hidden_state[0]
    torch.testing.assert_close(hidden, expected, atol=1e-6, rtol=1e-5)


def test_running_at_some_tokens_equals_running_all(decoder):
    inputs = decoder.inputs(TOKENS, TOKENS)
    stream = inputs.embedded[0]
    last = torch.tensor([4])
    with torch.no_grad():
        whole = decoder.run(0, stream, inputs, attend_in([alone(5)], None))
        attend = attend_in([alone(5)], None, last_only=True)
        part = decoder.run_at(0, stream, inputs, last, inputs.at(last), attend)
    torch.testing.assert_close(part, whole[4:], atol=1e-6, rtol=1e-5)


def test_keys_are_taken_without_running_the_rest(decoder, monkeypatch):
    inputs = decoder.inputs(TOKENS, TOKENS)

    def unreachable(*_: object) -> torch.Tensor:
        raise AssertionError("the MLP ran")

    monkeypatch.setattr(decoder.blocks[0].mlp, "forward", unreachable)
    key, value = decoder.keys_values(0, inputs.embedded[0], inputs)
    assert key.shape == value.shape == (5, 2, 4)


@pytest.mark.parametrize(
    ("model_type", "settings", "reason"),
    [
        ("bert", {}, "no list of 2 blocks found"),
        ("bloom", {"n_layer": 2, "n_head": 4}, "attention can be routed in 0 of 2 blocks"),
        ("modernbert", {"pad_token_id": 0}, "attention is not causal"),
        ("gemma3_text", {"use_bidirectional_attention": True, "head_dim": 4}, "is not causal"),
        ("llama4_text", {"head_dim": 4, "num_local_experts": 1}, "chunked_attention"),
    ],
)
def test_what_cannot_be_spliced_is_refused_by_name(model_type, settings, reason):
    built = backbone(model_type, **settings)
    with pytest.raises(ModelError, match=reason) as refusal:
        Decoder(built)
    assert type(built).__name__ in str(refusal.value)


def test_attention_sinks_are_refused(decoder, monkeypatch):
    inputs = decoder.inputs(TOKENS, TOKENS)
    args, kwargs = inputs.calls[0]
    with_sinks = type(inputs)(inputs.embedded, ((args, {**kwargs, "s_aux": torch.zeros(4)}),))
    with pytest.raises(ModelError, match="attention sinks are not supported"):
        decoder.run(0, inputs.embedded[0], with_sinks, attend_in([alone(5)], None))


def test_a_dispatched_backbone_gives_the_same_rewards(decoder):
    built = backbone("llama")
    expected = _hidden(Decoder(built))
    dispatched = dispatch_model(built, {"": "cpu"}, main_device="cpu", force_hooks=True)
    torch.testing.assert_close(_hidden(Decoder(dispatched)), expected)


def _hidden(decoder: Decoder) -> torch.Tensor:
    inputs = decoder.inputs(TOKENS, TOKENS)
    stream = inputs.embedded[0]
    with torch.no_grad():
        for layer in range(decoder.depth):
            stream = decoder.run(layer, stream, inputs, attend_in([alone(5)], None))
        return decoder.finish(stream, TOKENS, TOKENS)


def test_the_head_stays_in_full_precision_over_a_half_body():
    pm = PreferenceModel.from_backbone(
        backbone("llama").to(torch.bfloat16),
        nn.Linear(16, 1, bias=False).to(torch.bfloat16),
        name="half",
        tokenizer=None,
        text_format=None,
        sha256="",
    )
    assert pm.dtype is torch.bfloat16
    assert pm.reward(torch.zeros(3, 16, dtype=torch.bfloat16)).dtype is torch.float32
    assert not any(module.training for module in [pm.decoder.backbone, pm.head])


def _reference(query, key, value, *, context, window, softcap, scaling):
    """Attend token by token, in full precision, as the definition says."""
    heads, shared = query.shape[1], query.shape[1] // key.shape[1]
    out = torch.zeros_like(query)
    for at in range(query.shape[0]):
        end = context + at + 1
        begin = 0 if window is None else max(0, end - window)
        for head in range(heads):
            scores = key[begin:end, head // shared] @ query[at, head] * scaling
            if softcap is not None:
                scores = softcap * torch.tanh(scores / softcap)
            out[at, head] = scores.softmax(0) @ value[begin:end, head // shared]
    return out


@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("last_only", [False, True])
def test_groups_attend_as_the_definition_says(window, softcap, last_only):
    torch.manual_seed(1)
    clean_key, clean_value = torch.randn(2, 30, 2, 4)
    kind = AttentionKind(0.5, window, softcap)
    # Two groups; in the first the contexts are of unequal length, padded on the left.
    contexts = [[3, 4, 9], [20]], [[]]
    groups, first = [], 0
    for members, length in zip(contexts, (2, 5), strict=True):
        most = max(map(len, members))
        table = torch.tensor([[0] * (most - len(one)) + one for one in members])
        groups.append(
            SegmentGroup(
                first=first,
                count=len(members),
                length=length,
                context=table if most else None,
                context_length=torch.tensor([len(one) for one in members]) if most else None,
            )
        )
        first += len(members) * length
    query, (key, value) = torch.randn(first, 4, 4), torch.randn(2, first, 2, 4)
    lasts = torch.tensor([1, 3, 8])
    found = attend_groups(
        groups,
        query[lasts] if last_only else query,
        key,
        value,
        kind,
        clean=(clean_key, clean_value),
        last_only=last_only,
    )
    expected = []
    for start, length, context in ((0, 2, [3, 4, 9]), (2, 2, [20]), (4, 5, [])):
        own = slice(start, start + length)
        expected.append(
            _reference(
                query[own],
                torch.cat([clean_key[context], key[own]]),
                torch.cat([clean_value[context], value[own]]),
                context=len(context),
                window=window,
                softcap=softcap,
                scaling=0.5,
            )
        )
    whole = torch.cat(expected)
    torch.testing.assert_close(found, whole[lasts] if last_only else whole, atol=1e-6, rtol=1e-5)
