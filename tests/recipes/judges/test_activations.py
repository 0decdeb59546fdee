"""What enters a judge's shards: completions inside the rubric and what follows them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import torch

from pm_audit.forward.trace import trace
from pm_audit.loading.judges.load import load_judge
from pm_audit.text.text_format import TextSettings
from recipes.judges import activations
from recipes.judges.activations import (
    COMPLETIONS,
    LONGEST,
    PROMPTS_AT_ONCE,
    draw,
    gather,
    grid_of,
    lower_part,
    read_shards,
)
from recipes.train.activations import Corpus
from recipes.train.preferences import Pair

PAIRS = [
    Pair(
        "s",
        f"p{n}",
        f"\n\nHuman: Ask {n}?\n\nAssistant:",
        f" It is {n} of ten.",
        " No idea at all.",
    )
    for n in range(8)
]
DOCUMENTS = ["plain words that go on and on " * 40]


@pytest.fixture(params=["llama", "gemma3_text"])
def pm(request, save_judge):
    return load_judge(
        f"judge:{save_judge(request.param)}",
        template="{prompt}\n{completion}\n(",
        verdicts="1,2",
        text=TextSettings(text_format="raw"),
    )


def test_texts_share_prompts_and_are_the_same_for_one_seed():
    first, again, other = (next(draw(PAIRS, DOCUMENTS, seed=seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert len(first) == PROMPTS_AT_ONCE * COMPLETIONS
    for number in range(PROMPTS_AT_ONCE):
        own = [(prompt, text) for one, prompt, text in first if one == number]
        assert len({prompt for prompt, _ in own}) == 1
        assert own[0][0][-1].text.startswith("Ask ")
        assert all(text[:1] == " " and len(text) <= LONGEST + 1 for _, text in own)


def test_a_long_prompt_is_left_out():
    long = [Pair("s", "p", "\n\nHuman: " + "why " * 400 + "\n\nAssistant:", " Yes.", " No.")]
    texts = next(draw(PAIRS + long * 8, DOCUMENTS, seed=0))
    assert all("why" not in prompt[-1].text for _, prompt, _ in texts)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_lower_part_gives_the_streams_of_the_whole(pm, layer: int):
    texts = next(draw(PAIRS, DOCUMENTS, seed=0))[:12]
    texts = [(number, prompt, text[:60]) for number, prompt, text in texts]
    whole = trace(pm, (), grid_of(pm, texts), also=[layer]).streams[layer]
    lower = lower_part(pm, layer)
    assert lower.depth == layer + 1
    assert pm.depth == 3
    part = trace(lower, (), grid_of(lower, texts), also=[layer]).streams[layer]
    torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5)


def test_shards_hold_completions_and_what_follows_and_resume(pm, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(activations, "SHARD_TOKENS", 256)
    monkeypatch.setattr(activations, "LONGEST", 40)
    files = tmp_path / "pairs.jsonl", tmp_path / "text.jsonl"
    rows = (
        {"source": "s", "prompt_id": f"{n}", "prompt": pair.prompt}
        | {"chosen": pair.chosen, "rejected": pair.rejected}
        for n, pair in enumerate(PAIRS * 4)
    )
    files[0].write_text("\n".join(json.dumps(row) for row in rows))
    files[1].write_text(json.dumps({"text": DOCUMENTS[0]}))
    corpus = Corpus(preferences=files[0], text=files[1])
    said: list[str] = []

    def run(folder: Path) -> torch.Tensor:
        made = gather(pm, corpus, 1, tokens=300, folder=folder, seed=2, report=said.append)
        assert len(made) == 2
        return read_shards(made, 1)

    first = run(tmp_path / "one")
    assert first.shape == (512, 32)
    assert len(said) == 2
    (tmp_path / "one" / "0001.safetensors").unlink()
    assert torch.equal(run(tmp_path / "one"), first)
    assert len(said) == 3
    texts = islice(draw(corpus.training_pairs(), corpus.documents(), seed=20_000), 1)
    whole = trace(pm, (), grid_of(pm, next(texts)), also=[1]).streams[1].to(torch.bfloat16)
    kept = {tuple(row) for row in first[:256].tolist()}
    assert len(kept & {tuple(row) for row in whole.tolist()}) > 50
