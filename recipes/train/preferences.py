"""Preference pairs for training: read, split by prompt, sampled evenly over sources.

A pair is one line of JSON: ``source, prompt_id, prompt, chosen, rejected``.  Prompts are in the
``Human: ... Assistant:`` form and completions come without the leading space, which is added
here, because the PM reads ``prompt + " " + completion``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pm_audit.errors import InvalidSpec, Place, Problem

TEST_SHARE = 0.2
"""Share of prompts that training never sees; chosen by a hash of the prompt's id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one prompt, the first preferred."""

    source: str
    prompt_id: str
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Group:
    """Pairs of one prompt, trained on together so that shared completions are read once."""

    prompt: str
    completions: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    """Indices of (chosen, rejected) into ``completions``."""
    source: str

    @property
    def characters(self) -> int:
        """Length of all texts of the group, a proxy for its cost."""
        return sum(len(self.prompt) + len(text) for text in self.completions)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a JSONL file, gzipped or not, numbered from 1.

    Raises:
        InvalidSpec: it is not UTF-8 text, or its compression is broken.

    """
    try:
        with _opened(path) as stream:
            yield from enumerate(stream, start=1)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        message = f"cannot be read ({error}); give JSONL in UTF-8, gzipped if it is called .gz"
        raise InvalidSpec([Problem(Place(str(path)), message)]) from None


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def read_pairs(path: Path) -> list[Pair]:
    """Read preference pairs.

    Raises:
        InvalidSpec: a line is no JSON object or lacks a field; the message names the line.

    """
    pairs = []
    for number, line in numbered_lines(path):
        try:
            row = json.loads(line)
            pair = Pair(
                source=str(row["source"]).split("/")[0],
                prompt_id=str(row["prompt_id"]),
                prompt=str(row["prompt"]),
                chosen=" " + str(row["chosen"]).lstrip(),
                rejected=" " + str(row["rejected"]).lstrip(),
            )
        except (ValueError, KeyError, TypeError) as error:
            message = (
                f"not a preference pair ({error}); each line is a JSON object with source, "
                "prompt_id, prompt, chosen and rejected"
            )
            raise InvalidSpec([Problem(Place(str(path), number), message)]) from None
        pairs.append(pair)
    return pairs


def is_test(pair: Pair) -> bool:
    """Return whether a pair's prompt belongs to the held-out split."""
    digest = hashlib.sha256(pair.prompt_id.encode()).digest()
    return digest[0] < 256 * TEST_SHARE


def group_by_prompt(pairs: Iterable[Pair], *, most: int, seed: int) -> list[Group]:
    """Group pairs by prompt, at most ``most`` pairs a group, each completion listed once."""
    rng = random.Random(seed)  # noqa: S311 - sampling, not secrecy
    by_prompt: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_prompt[pair.source, pair.prompt_id].append(pair)
    groups = []
    for (source, _), members in sorted(by_prompt.items()):
        rng.shuffle(members)
        groups += [
            _group(source, members[start : start + most]) for start in range(0, len(members), most)
        ]
    return groups


def _group(source: str, members: Sequence[Pair]) -> Group:
    index: dict[str, int] = {}
    pairs = []
    for pair in members:
        chosen = index.setdefault(pair.chosen, len(index))
        rejected = index.setdefault(pair.rejected, len(index))
        pairs.append((chosen, rejected))
    return Group(members[0].prompt, tuple(index), tuple(pairs), source)


def even_epochs(
    groups: Sequence[Group], *, seed: int, emphasis: Mapping[str, float]
) -> Iterator[Group]:
    """Yield groups for ever, sources in turn with weight the square root of their pair count.

    Sampling in proportion would train nearly only on the largest source; sampling uniformly
    would repeat the small ones dozens of times.  The square root stands between; ``emphasis``
    multiplies the weights of the sources that it names.
    """
    rng = random.Random(seed)  # noqa: S311 - sampling, not secrecy
    by_source: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        by_source[group.source].append(group)
    sources = sorted(by_source)
    weights = [
        emphasis.get(name, 1.0) * sum(len(group.pairs) for group in by_source[name]) ** 0.5
        for name in sources
    ]
    queues: dict[str, list[Group]] = {name: [] for name in sources}
    while True:
        name = rng.choices(sources, weights)[0]
        if not queues[name]:
            queues[name] = rng.sample(by_source[name], len(by_source[name]))
        yield queues[name].pop()


def spread(pairs: Sequence[Pair], most: Mapping[str, int], *, seed: int) -> list[Pair]:
    """Keep at most so many pairs of a prompt as its source allows, drawn at random."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for pair in _shuffled(pairs, seed):
        seen[pair.source, pair.prompt_id] += 1
        if seen[pair.source, pair.prompt_id] <= most.get(pair.source, len(pairs)):
            kept.append(pair)
    return kept


def few_a_source(pairs: Sequence[Pair], most: int, *, seed: int) -> list[Pair]:
    """Keep at most ``most`` pairs of a source, drawn at random."""
    seen: Counter[str] = Counter()
    kept = []
    for pair in _shuffled(pairs, seed):
        seen[pair.source] += 1
        if seen[pair.source] <= most:
            kept.append(pair)
    return kept


def _shuffled(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    return random.Random(seed).sample(pairs, len(pairs))  # noqa: S311 - sampling, not secrecy
