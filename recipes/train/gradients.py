"""Streams of a PM with the gradient of its reward there, gathered once and kept in shards.

To first order, what an SAE's error ``e`` does to the reward is the sum over tokens of ``<e, g>``
with ``g`` the gradient of the reward with respect to the stream.  Two gradients are kept of each
completion token: with the stream as it is, and with the stream at its mean over the prompt's
completions (content tokens and each token after the completion apart).  These are the two orders
in which the error term's share of a gap is read: the error replaced first, and last.

Each prompt of the preference pairs comes with several completions and a piece of plain text, each
cut at a random length, because the texts of hypotheses are short.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.packing import Batch
from pm_audit.forward.scale import measure_scale
from pm_audit.forward.splice import completion_jobs, run_suffix
from pm_audit.forward.trace import Trace, trace
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from recipes.train.activations import Corpus
from recipes.train.measure import row_of
from recipes.train.preferences import (
    Group,
    even_epochs,
    group_by_prompt,
)
from recipes.train.unfinished import write_tensors

PROMPT_CHARACTERS = 300
"""Longest prompt: the completion is what is trained on."""

SHORTEST, LONGEST = 3, 96
"""Tokens of a completion after it is cut; short ones are more frequent, as 1 / length."""

CHARACTERS = 600
"""Of a completion that are tokenised: more than ``LONGEST`` tokens."""

PROMPTS_A_SHARD = 200
PROMPTS_A_GRID = 20


def gather_gradients(
    pm: PreferenceModel,
    sae: Sae,
    corpus: Corpus,
    *,
    shards: int,
    folder: Path,
    seed: int,
    report: Callable[[str], None],
) -> list[Path]:
    """Write shards of streams at the SAE's layer and gradients of the reward there.

    Each shard maps ``stream`` to [token hidden], ``gradients`` to [token 2 hidden], in units of
    the PM's sigma, and ``after`` to [token]: 0 for content, else which token after the completion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sigma = measure_scale(pm).sigma
    prompts = _prompts(corpus, seed=seed)
    paths = []
    for number in range(shards):
        path = folder / f"{number:04}.safetensors"
        groups = [next(prompts) for _ in range(PROMPTS_A_SHARD)]
        if not path.exists():
            rng = random.Random(seed * 10_000 + number)  # noqa: S311 - sampling, not secrecy
            parts = []
            for first in range(0, PROMPTS_A_SHARD, PROMPTS_A_GRID):
                grid = _grid(pm, groups[first : first + PROMPTS_A_GRID], rng)
                parts.append(read_gradients(trace(pm, (sae,), grid), sae.layer, sigma=sigma))
            write_tensors(
                {name: torch.cat([one[name] for one in parts]) for name in parts[0]}, path
            )
            report(f"gathered {(number + 1)} of {shards} shards")
        paths.append(path)
    return paths


def read_gradients(clean: Trace, layer: int, *, sigma: float) -> dict[str, Tensor]:
    """Return a trace's completion tokens as a shard holds them."""
    stream = clean.streams[layer]
    after = _after_completion(clean)
    return {
        "stream": stream,
        "gradients": torch.stack(
            [
                _gradient(clean, layer, at) / sigma
                for at in (stream, _mean_of_prompt(clean, stream, after))
            ],
            dim=1,
        ).to(torch.bfloat16),
        "after": after,
    }


def _gradient(clean: Trace, layer: int, stream: Tensor) -> Tensor:
    """Return dr/dx [completion token, hidden] with the completions' stream at ``stream``."""
    found = torch.zeros_like(stream)

    def run(batch: Batch) -> None:
        with torch.enable_grad():
            leaf = stream[batch.completion].requires_grad_()
            rewards = run_suffix(clean, batch, layer, leaf)
            (found[batch.completion],) = torch.autograd.grad(rewards.sum(), leaf)

    clean.in_batches(completion_jobs(clean, clean.rows(None)), run)
    return found


def _after_completion(clean: Trace) -> Tensor:
    """Return [completion token]: 0 for content, 1 for the last token, 2 for the one before."""
    layout, appended = clean.grid.layout, len(clean.pm.text_format.appended)
    from_end = layout.length[layout.completion_row] - layout.completion_position
    return torch.from_numpy(np.where(from_end <= appended, from_end, 0))


def _mean_of_prompt(clean: Trace, stream: Tensor, after: Tensor) -> Tensor:
    prompt = torch.tensor([row.prompt for row in clean.grid.rows])[clean.row_of_token()]
    place = prompt * (int(after.max()) + 1) + after
    size = int(place.max()) + 1
    sums = stream.new_zeros(size, stream.shape[1]).index_add(0, place, stream)
    return (sums / torch.bincount(place, minlength=size).clamp_min(1)[:, None])[place]


def _prompts(corpus: Corpus, *, seed: int) -> Iterator[tuple[Group, str]]:
    """Yield training prompts with some of their completions, and plain text, for ever."""
    pairs = [pair for pair in corpus.training_pairs() if len(pair.prompt) <= PROMPT_CHARACTERS]
    if not pairs:
        problem = f"every prompt is longer than {PROMPT_CHARACTERS} characters; add shorter ones"
        raise InvalidSpec([Problem(Place(str(corpus.preferences)), problem)])
    documents = corpus.documents()
    rng = random.Random(seed)  # noqa: S311 - sampling, not secrecy
    for group in even_epochs(group_by_prompt(pairs, most=2, seed=seed), seed=seed, emphasis={}):
        document = rng.choice(documents)
        start = rng.randrange(max(1, len(document) - CHARACTERS))
        yield group, " " + document[start : start + CHARACTERS].lstrip()


def _grid(pm: PreferenceModel, groups: Sequence[tuple[Group, str]], rng: random.Random) -> Grid:
    return Grid(
        tuple(
            _cut(pm, row_of(pm, number, group.prompt, text[:CHARACTERS]), rng)
            for number, (group, document) in enumerate(groups)
            for text in (*group.completions, document)
        )
    )


def _cut(pm: PreferenceModel, row: Row, rng: random.Random) -> Row:
    length = round(math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST))))
    appended = pm.text_format.appended
    content = row.token_ids[: len(row.token_ids) - len(appended)][: row.completion_start + length]
    return Row(row.prompt, (*content, *appended), row.completion_start)
