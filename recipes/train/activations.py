"""Residual-stream activations of a preference model, gathered once and kept in shards.

Dialogues of the preference data and plain text are mixed; each text is cut to its first tokens.
One forward serves every layer.  The first token of a text and any token of massive norm are
left out: a handful of attention sinks with a hundred times the usual norm would own the loss.
Of the others a random share is kept, for variety.  The tokens of the suffix, where the reward is
read, are two in a text of hundreds and matter most: all are kept, several times over.
Shards are finished files, so an interrupted gathering goes on with the next one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pm_audit.errors import InvalidSpec, Place, Problem
from recipes.train.preferences import Pair, is_test, numbered_lines, read_pairs
from recipes.train.reward_model import CHARACTERS_A_TOKEN, collate
from recipes.train.unfinished import read_tensors, write_tensors

MASSIVE = 10.0
"""A token is massive when its norm exceeds this many times the median norm of its batch."""

SHARD_TOKENS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Texts to read: preference pairs (training prompts only) and plain text, both JSONL."""

    preferences: Path
    text: Path
    dialogue_share: float = 0.7
    """Share of the texts that are prompts with an answer."""
    max_tokens: int = 192
    suffix: str = ""
    """Written after every answer, as the PM reads it."""
    kept_share: float = 0.5
    """Share of ordinary tokens that is kept."""
    suffix_copies: int = 3
    """How often each token of the suffix enters."""

    def training_pairs(self) -> list[Pair]:
        """Return the pairs of training prompts.

        Raises:
            InvalidSpec: the preferences cannot be read, or hold none.

        """
        pairs = [pair for pair in read_pairs(self.preferences) if not is_test(pair)]
        if not pairs:
            problem = "no pair to train on is left after its test prompts were set aside; add pairs"
            raise InvalidSpec([Problem(Place(str(self.preferences)), problem)])
        return pairs

    def documents(self) -> list[str]:
        """Return the plain texts.

        Raises:
            InvalidSpec: a line is no JSON object with a ``text``, there is no line, or the file
                cannot be read.

        """
        found = []
        for number, line in numbered_lines(self.text):
            try:
                found.append(str(json.loads(line)["text"]))
            except (ValueError, TypeError, KeyError):
                problem = 'a line of plain text is a JSON object, such as {"text": "..."}'
                raise InvalidSpec([Problem(Place(str(self.text), number), problem)]) from None
        if not found:
            raise InvalidSpec([Problem(Place(str(self.text)), "there is no text in it; add lines")])
        return found

    def texts(self, *, seed: int) -> Iterator[str]:
        """Yield texts for ever, dialogues and plain text in the stated proportion."""
        rng = random.Random(seed)  # noqa: S311 - sampling, not secrecy
        dialogues = [
            pair.prompt + completion
            for pair in self.training_pairs()
            for completion in (pair.chosen, pair.rejected)
        ]
        documents = self.documents()
        size = int(self.max_tokens * CHARACTERS_A_TOKEN)
        while True:
            if rng.random() < self.dialogue_share:
                yield rng.choice(dialogues)[:size] + self.suffix
            else:
                document = rng.choice(documents)
                start = rng.randrange(max(1, len(document) - size))
                yield document[start : start + size]


def gather(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    layers: Sequence[int],
    *,
    tokens: int,
    folder: Path,
    seed: int,
    report: Callable[[str], None],
) -> list[Path]:
    """Write shards of activations after each of ``layers``, at least ``tokens`` in all.

    Each shard maps ``layer_{index}`` to [token hidden] in bf16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for number in range(-(-tokens // SHARD_TOKENS)):
        path = folder / f"{number:04}.safetensors"
        if not path.exists():
            # A seed a shard, so that a resumed run reads the texts that it would have read.
            parts = _fill(backbone, tokenizer, corpus, layers, seed=seed * 10_000 + number)
            write_tensors(parts, path)
            report(f"gathered {(number + 1) * SHARD_TOKENS:,} of {tokens:,} tokens")
        shards.append(path)
    return shards


def read_layer(shards: Sequence[Path], layer: int) -> Tensor:
    """Return all gathered activations after one layer, [token hidden], bf16.

    Raises:
        ModelError: a shard is torn.

    """
    return torch.cat([read_tensors(shard)[f"layer_{layer}"] for shard in shards])


def _fill(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    layers: Sequence[int],
    *,
    seed: int,
) -> dict[str, Tensor]:
    texts = corpus.texts(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    suffix = len(tokenizer(corpus.suffix, add_special_tokens=False).input_ids)
    parts: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    count = 0
    while count < SHARD_TOKENS:
        batch = sorted((next(texts) for _ in range(64)), key=len)
        for start in range(0, len(batch), 16):
            read = batch[start : start + 16]
            streams, kept = read_streams(backbone, tokenizer, read, layers, corpus.max_tokens)
            kept = kept.cpu()
            drawn = torch.rand(kept.shape, generator=generator) < corpus.kept_share
            copies = (kept & drawn).long()
            for row, text in enumerate(read):
                if suffix and text.endswith(corpus.suffix):
                    last = int(kept[row].nonzero().max())
                    copies[row, last + 1 - suffix : last + 1] = corpus.suffix_copies
            chosen = torch.repeat_interleave(torch.arange(copies.numel()), copies.flatten())
            for layer in layers:
                stream = streams[layer].flatten(0, 1).to(torch.bfloat16).cpu()
                parts[layer].append(stream[chosen])
            count += len(chosen)
    return {
        f"layer_{layer}": torch.cat(parts[layer])[:SHARD_TOKENS].contiguous() for layer in layers
    }


@torch.no_grad()
def read_streams(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    layers: Sequence[int],
    max_tokens: int,
) -> tuple[dict[int, Tensor], Tensor]:
    """Return streams {layer: [row token hidden]} and which tokens count [row token].

    Padding, first tokens and tokens that are massive after any of the layers do not count.
    """
    where = next(backbone.parameters()).device
    batch = collate(tokenizer, texts, max_tokens, where)
    streams: dict[int, Tensor] = {}

    def keep(layer: int) -> RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            streams[layer] = output if isinstance(output, Tensor) else output[0]

        handle: RemovableHandle = backbone.layers[layer].register_forward_hook(hook)
        return handle

    handles = [keep(layer) for layer in layers]
    try:
        backbone(input_ids=batch.ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    position = torch.arange(batch.ids.shape[1], device=where)
    kept = (position > 0) & (position <= batch.last[:, None])
    for stream in streams.values():
        norms = stream.float().norm(dim=-1)
        kept &= norms < MASSIVE * norms[kept].median()
    return streams, kept
