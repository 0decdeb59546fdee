"""Make a feature index: read a corpus once and keep each latent's strongest texts as excerpts.

The first token of a text is left out: it is an attention sink, and its activations, a hundred times
the usual, would hide all others.  Texts that share an excerpt, such as two answers to one question,
count once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pm_audit.files import sha256
from pm_audit.forward.grid import Grid, Integers, Row
from pm_audit.forward.trace import trace
from pm_audit.pipelines.corpus import read_texts
from pm_audit.records import FeatureRecord
from pm_audit.records.document import json_document
from pm_audit.records.feature_index import FeatureIndex, IndexedFeature, IndexedText
from pm_audit.spec import Speaker, Turn
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TokenisedRow

AROUND = 40
"""Characters of an excerpt on either side of its strongest token."""

TEXTS = 3
"""Texts kept for each latent."""

MOST_BYTES = 2_000_000
"""A larger index drops the weakest text of every latent."""

_TEXT_TOKENS = 192
"""Tokens of a text that are read."""

_BATCH = 48
"""Texts that are read at once."""

_SPARE = 3
"""Texts kept for each one that is written, because some share an excerpt."""


def index_features(
    pm: PreferenceModel,
    saes: Sequence[Sae],
    texts: Path,
    *,
    tokens: int = 200_000,
    seed: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, FeatureIndex]:
    """Read a corpus and return each SAE's index by the SAE's name.

    Args:
        pm: the preference model whose stream the SAEs read.
        saes: indexed in one reading.
        texts: file of texts, as ``read_texts`` takes it.
        tokens: least number of tokens to read; the whole corpus if it has fewer.
        seed: of the order of texts.
        report: receives how far the reading is.

    Raises:
        InvalidSpec: the file holds something other than texts.

    """
    corpus = read_texts(texts, seed=seed)
    plain = replace(pm.text_format, name="raw", longest=None)
    strongest = {sae.name: _Strongest(sae.width) for sae in saes}
    read = 0
    for first in range(0, len(corpus), _BATCH):
        nobody = (Turn(speaker=Speaker.HUMAN, text=""),)
        rows = [_cut(plain.tokenise(nobody, text)) for text in corpus[first : first + _BATCH]]
        rows = [row for row in rows if len(row.token_ids) > 1]
        if not rows:
            continue
        clean = trace(pm, saes, Grid(tuple(Row(n, row.token_ids, 1) for n, row in enumerate(rows))))
        layout = clean.grid.layout
        for sae in saes:
            features = clean.features[sae.name]
            token = features.token_here
            strongest[sae.name].add(
                rows,
                latent=features.latent_here,
                row=layout.completion_row[token],
                position=layout.completion_position[token],
                value=features.value.float().cpu().numpy(),
            )
        read += len(layout.completion_row)
        report(f"read {read:,} of {tokens:,} tokens")
        if read >= tokens:
            break
    digest = sha256([texts])
    return {
        sae.name: FeatureIndex(
            sae_sha256=sae.sha256,
            pm=pm.name,
            pm_sha256=pm.sha256,
            corpus=texts.name,
            corpus_sha256=digest,
            tokens=read,
            features=strongest[sae.name].features(read),
        )
        for sae in saes
    }


def written(index: FeatureIndex) -> str:
    """Return an index as compact JSON, of no more than about ``MOST_BYTES``."""
    for most in range(TEXTS, 0, -1):
        kept = {
            latent: feature.model_copy(update={"x": feature.x[:most]})
            for latent, feature in index.features.items()
        }
        data = index.model_copy(update={"features": kept}).model_dump(mode="json")
        text = json_document(data, indent=None)
        if len(text) <= MOST_BYTES:
            break
    return text + "\n"


def in_corpus(
    features: Sequence[FeatureRecord], indices: Mapping[str, FeatureIndex]
) -> tuple[FeatureRecord, ...]:
    """Return feature records with their frequency in a corpus, selected ones with its texts."""
    return tuple(_in_corpus(feature, indices.get(feature.sae)) for feature in features)


def _in_corpus(feature: FeatureRecord, index: FeatureIndex | None) -> FeatureRecord:
    if index is None:
        return feature
    found = index.features.get(feature.index, IndexedFeature(f=0.0, x=()))
    return feature.model_copy(
        update={
            "corpus_firings": tuple(text.firing() for text in found.x) if feature.folds else (),
            "corpus_frequency": found.f,
        }
    )


def read_indices(saes: Sequence[Sae]) -> dict[str, FeatureIndex]:
    """Return the indices that lie next to their SAEs, by the SAE's name.

    Raises:
        RecordError: a file is not the index of its SAE.

    """
    return {
        sae.name: FeatureIndex.read(sae.index_path, sae_sha256=sae.sha256)
        for sae in saes
        if sae.index_path is not None and sae.index_path.is_file()
    }


def _cut(row: TokenisedRow) -> TokenisedRow:
    return replace(row, token_ids=row.token_ids[:_TEXT_TOKENS], offsets=row.offsets[:_TEXT_TOKENS])


@dataclass(frozen=True, slots=True)
class _Found:
    latent: int
    value: float
    text: IndexedText


class _Strongest:
    """The strongest texts of every latent so far."""

    def __init__(self, width: int) -> None:
        self._fired = np.zeros(width, dtype=np.int64)
        self._found: list[_Found] = []

    def add(
        self,
        rows: Sequence[TokenisedRow],
        *,
        latent: Integers,
        row: Integers,
        position: Integers,
        value: npt.NDArray[np.float32],
    ) -> None:
        """Take in the active features [active] of a batch of texts."""
        self._fired += np.bincount(latent, minlength=len(self._fired))
        order = np.lexsort((-value, row, latent))
        latent, row, position, value = latent[order], row[order], position[order], value[order]
        changes = np.flatnonzero(np.diff(latent * len(rows) + row, prepend=-1))
        ends = np.append(changes[1:], len(latent))
        known = len(self._found)
        latents = np.array([*(found.latent for found in self._found), *latent[changes]])
        values = np.array([*(found.value for found in self._found), *value[changes]])
        kept: list[_Found] = []
        for chosen in _leading(latents.astype(np.int64), values, TEXTS * _SPARE):
            if chosen < known:
                kept.append(self._found[chosen])
                continue
            run = slice(changes[chosen - known], ends[chosen - known])
            text = _excerpt(rows[int(row[run][0])], position[run], value[run])
            kept.append(_Found(int(latents[chosen]), float(values[chosen]), text))
        self._found = kept

    def features(self, tokens: int) -> dict[int, IndexedFeature]:
        """Return what an index holds of every latent that fired."""
        by_latent: dict[int, dict[str, IndexedText]] = {}
        for found in sorted(self._found, key=lambda found: (found.latent, -found.value)):
            by_latent.setdefault(found.latent, {}).setdefault(found.text.t, found.text)
        return {
            latent: IndexedFeature(
                f=float(f"{self._fired[latent] / tokens:.3g}"), x=tuple(texts.values())[:TEXTS]
            )
            for latent, texts in by_latent.items()
        }


def _leading(group: Integers, value: npt.NDArray[np.float64], most: int) -> list[int]:
    """Return the indices of the ``most`` largest values of each group."""
    order = np.lexsort((-value, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(order)))
    rank = np.arange(len(order)) - np.repeat(starts, lengths)
    return [int(index) for index in order[rank < most]]


def _excerpt(
    row: TokenisedRow, positions: Integers, values: npt.NDArray[np.float32]
) -> IndexedText:
    """Return the text around the first, strongest place, with the other places inside it."""
    start, end = row.offsets[int(positions[0])]
    first, last = max(0, start - AROUND), min(len(row.text), end + AROUND)
    places = []
    for position, value in zip(positions, values, strict=True):
        begin, stop = row.offsets[int(position)]
        if first <= begin <= stop <= last:
            places.append((begin - first, stop - first, float(f"{value:.3g}")))
    return IndexedText(t=row.text[first:last], p=tuple(places))
