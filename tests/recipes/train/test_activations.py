"""What enters a shard: every suffix token, a share of the others, and twice the same."""

import gzip
import json
import re
from dataclasses import replace

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from pm_audit.errors import InvalidSpec
from recipes.train import activations
from recipes.train.activations import Corpus, gather, read_layer

SUFFIX = "~|"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    letters = Tokenizer(models.WordLevel({chr(at): at - 32 for at in range(32, 127)}, " "))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=letters, unk_token=" ")


@pytest.fixture
def backbone() -> LlamaModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=95,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return LlamaModel(config).eval()


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    pairs, text = tmp_path / "pairs.jsonl.gz", tmp_path / "text.jsonl"
    with gzip.open(pairs, "wt") as stream:
        for number in range(20):
            row = {"source": "s", "prompt_id": f"p{number}", "prompt": f"Ask {number}?"}
            stream.write(json.dumps(row | {"chosen": "x" * 20, "rejected": "y" * 30}) + "\n")
    text.write_text(json.dumps({"text": "plain words " * 20}) + "\n")
    return Corpus(preferences=pairs, text=text, suffix=SUFFIX, max_tokens=48)


def shard(backbone, tokenizer, corpus, folder):
    def told(_):
        return None

    made = gather(backbone, tokenizer, corpus, (0,), tokens=1, folder=folder, seed=0, report=told)
    return read_layer(made, 0).float()


def test_the_suffix_enters_whole_and_ordinary_tokens_in_part(
    backbone, tokenizer, corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(activations, "SHARD_TOKENS", 2048)
    with torch.no_grad():
        # Without attention a state depends on its token alone, so states can be counted.
        backbone.layers[0].self_attn.o_proj.weight.zero_()
        ids = torch.tensor([tokenizer(letters).input_ids for letters in ("~|", "xy")])
        one = torch.ones(1, 2, 8)
        known = backbone.layers[0](backbone.embed_tokens(ids), position_embeddings=(one, one))
    states = shard(backbone, tokenizer, corpus, tmp_path / "shards")
    known = known.to(torch.bfloat16).float().flatten(0, 1)
    tilde, bar, x, y = [int((states - one).norm(dim=-1).lt(1e-2).sum()) for one in known]
    assert tilde == pytest.approx(bar, abs=corpus.suffix_copies)
    texts = tilde / corpus.suffix_copies
    assert (x + y) / texts == pytest.approx(25 * corpus.kept_share, rel=0.2)


def test_a_finished_shard_is_not_read_again(backbone, tokenizer, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "SHARD_TOKENS", 256)
    first = shard(backbone, tokenizer, corpus, tmp_path / "shards")
    monkeypatch.setattr(activations, "read_streams", None)
    assert torch.equal(shard(backbone, tokenizer, corpus, tmp_path / "shards"), first)


def test_a_seed_makes_the_same_shard(backbone, tokenizer, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "SHARD_TOKENS", 256)
    one, other = (shard(backbone, tokenizer, corpus, tmp_path / name) for name in ("a", "b"))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no text in it"),
        ('{"text": "x"}\nplain\n', "text.jsonl:2: a line of plain text is a JSON object"),
        ('{"body": "x"}\n', "text.jsonl:1: a line of plain text is a JSON object"),
        ("[1]\n", "text.jsonl:1: a line of plain text is a JSON object"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_its_line(corpus, tmp_path, text, said):
    broken = tmp_path / "text.jsonl"
    broken.write_text(text)
    with pytest.raises(InvalidSpec, match=re.escape(said)):
        next(replace(corpus, text=broken).texts(seed=0))


def test_preferences_without_a_pair_to_train_on_are_refused(corpus, tmp_path):
    empty = tmp_path / "none.jsonl"
    empty.write_text("")
    with pytest.raises(InvalidSpec, match="no pair to train on"):
        next(replace(corpus, preferences=empty).texts(seed=0))
