"""Activations of a judge on what an audit ablates: completions inside its rubric, and its end.

Half of the texts are answers of preference pairs, half are passages of plain text in an answer's
place.  Hypotheses have short completions, so each text is cut to a length drawn evenly on a
logarithmic scale.  The completions of one prompt share it, so a prompt is read once; the judge is
cut to the blocks up to the layer, which alone are read.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pm_audit.data.dialogue import Dialogue
from pm_audit.data.transcript import read_prompt
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.subject.decoder import Decoder
from pm_audit.subject.preference_model import PreferenceModel
from recipes.train.activations import MASSIVE, Corpus
from recipes.train.preferences import Pair
from recipes.train.unfinished import read_tensors, write_tensors

SHARD_TOKENS = 32_768
PROMPTS_AT_ONCE = 32
"""Prompts of one grid."""
COMPLETIONS = 4
"""Completions of a prompt: its two answers and as many passages."""
SHORTEST, LONGEST = 8, 420
"""Characters of a completion."""
LONGEST_PROMPT = 600
"""Characters of a prompt; longer ones are left out, they cost and are not ablated."""

Report = Callable[[str], None]
Text = tuple[int, Dialogue, str]
"""The prompt's number, the prompt, and a completion."""


def gather(
    pm: PreferenceModel,
    corpus: Corpus,
    layer: int,
    *,
    tokens: int,
    folder: Path,
    seed: int,
    report: Report,
) -> list[Path]:
    """Write shards of the stream after ``layer``, at least ``tokens`` in all, in bf16.

    Shards are finished files, so an interrupted gathering goes on with the next one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lower = lower_part(pm, layer)
    pairs, documents = corpus.training_pairs(), corpus.documents()
    shards = []
    for number in range(-(-tokens // SHARD_TOKENS)):
        path = folder / f"{number:04}.safetensors"
        if not path.exists():
            # a seed a shard, so that a resumed run reads the texts that it would have read
            texts = draw(pairs, documents, seed=seed * 10_000 + number)
            write_tensors({f"layer_{layer}": _fill(lower, texts, layer)}, path)
            report(f"gathered {(number + 1) * SHARD_TOKENS:,} of {tokens:,} tokens")
        shards.append(path)
    return shards


def read_shards(shards: Sequence[Path], layer: int) -> Tensor:
    """Return all gathered activations, [token hidden], bf16."""
    return torch.cat([read_tensors(shard)[f"layer_{layer}"] for shard in shards])


def draw(pairs: Sequence[Pair], documents: Sequence[str], *, seed: int) -> Iterator[list[Text]]:
    """Yield texts of some prompts at a time, for ever."""
    rng = random.Random(seed)  # noqa: S311 - sampling, not secrecy
    while True:
        texts: list[Text] = []
        number = 0
        while number < PROMPTS_AT_ONCE:
            pair = rng.choice(pairs)
            if len(pair.prompt) > LONGEST_PROMPT:
                continue
            prompt = read_prompt(pair.prompt, "prompt")
            passages = [_passage(rng, documents) for _ in range(COMPLETIONS - 2)]
            drawn = (pair.chosen, pair.rejected, *passages)
            texts += [(number, prompt, _cut(rng, text)) for text in drawn]
            number += 1
        yield texts


def _passage(rng: random.Random, documents: Sequence[str]) -> str:
    """Return a piece of a document that begins with a word, after a space."""
    document = rng.choice(documents)
    start = rng.randrange(max(1, len(document) - LONGEST))
    start = document.find(" ", start) + 1
    return " " + document[start : start + LONGEST].strip()


def _cut(rng: random.Random, text: str) -> str:
    length = int(math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST))))
    return text[: length + 1].rstrip()


def lower_part(pm: PreferenceModel, layer: int) -> PreferenceModel:
    """Return the PM without the blocks above ``layer``, which share their weights with it."""
    body = pm.decoder.backbone
    described = body.config.to_dict() | {"num_hidden_layers": layer + 1}
    if described.get("layer_types"):
        described["layer_types"] = described["layer_types"][: layer + 1]
    config = type(body.config).from_dict(described)
    with torch.device("meta"):
        lower = type(body)(config)
    for name, part in body.named_children():
        setattr(lower, name, part)
    lower.layers = nn.ModuleList(body.layers[: layer + 1])
    return replace(pm, decoder=Decoder(lower.eval()), library=None)


def grid_of(pm: PreferenceModel, texts: Sequence[Text]) -> Grid:
    """Return texts as the judge reads them."""
    rows = [(number, pm.text_format.tokenise(prompt, text)) for number, prompt, text in texts]
    return Grid(
        tuple(
            Row(number, row.token_ids, row.completion_start, row.completion_stop)
            for number, row in rows
        )
    )


def _fill(pm: PreferenceModel, texts: Iterator[list[Text]], layer: int) -> Tensor:
    """Return the stream of one shard's tokens, those of massive norm left out."""
    parts: list[Tensor] = []
    while sum(map(len, parts)) < SHARD_TOKENS:
        clean = trace(pm, (), grid_of(pm, next(texts)), also=[layer])
        stream = clean.streams[layer].float().cpu()
        norms = stream.norm(dim=-1)
        parts.append(stream[norms < MASSIVE * norms.median()].to(torch.bfloat16))
    return torch.cat(parts)[:SHARD_TOKENS].contiguous()
