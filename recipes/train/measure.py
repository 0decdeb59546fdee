"""The figures of the model cards: what was trained, measured on prompts that training never saw.

The PM's accuracy is measured source by source.  Each SAE is measured on held-out dialogues:
sparsity, FVU, cosine, dead latents, and the correlation of the reward with the reward that is
left when the SAE's reconstruction takes the completion's place.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pm_audit.forward.fit import measure_fit, neighbours
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.splice import splice_reconstruction
from pm_audit.forward.trace import rewards, trace
from pm_audit.loading.default.pm import default_saes, load_pm
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.records import Finite, Record, SaeFit, write_atomically
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from recipes.train.evaluate import SourceAccuracy, accuracy_by_source
from recipes.train.pm import Report
from recipes.train.preferences import Pair, is_test, read_pairs

ROWS_AT_ONCE = 64
"""Texts of one grid; bounds the memory that streams and keys take."""


class SaeCard(Record):
    """One SAE's figures, pooled over grids of held-out dialogues."""

    sae: str
    layer: int
    width: int
    tokens: int
    massive: int
    """Tokens left out of FVU and cosine for their massive norm."""
    l0: Finite
    fvu: Finite
    cosine: Finite
    dead_share: Finite
    """Share of latents that fired on none of the tokens."""
    reward_correlation: Finite
    """Pearson's, over texts, of the reward and the reward with the reconstruction spliced in."""


class Card(Record):
    """Measured quality of a PM and its SAEs."""

    accuracy: tuple[SourceAccuracy, ...]
    saes: tuple[SaeCard, ...]


def measure(folder: Path, preferences: Path, *, pairs: int, texts: int, report: Report) -> Card:
    """Measure the PM in ``folder`` and its SAEs on held-out pairs, and write ``card.json``.

    Args:
        folder: what the recipes wrote.
        preferences: the preference pairs that the PM was trained on; its held-out prompts count.
        pairs: most pairs of a source.
        texts: texts on which each SAE is measured.
        report: receives progress.

    """
    held_out = [pair for pair in read_pairs(preferences) if is_test(pair)]
    random.Random(0).shuffle(held_out)  # noqa: S311 - a sample, not a secret
    seen: Counter[str] = Counter()
    chosen = []
    for pair in held_out:
        seen[pair.source] += 1
        if seen[pair.source] <= pairs:
            chosen.append(pair)
    pm = load_pm(folder)
    dialogues = list(dict.fromkeys((pair.prompt, pair.chosen) for pair in held_out))[:texts]
    card = Card(
        accuracy=tuple(measure_pm(pm, chosen, report=report)),
        saes=tuple(
            measure_sae(pm, load_sae(path), grids(pm, dialogues), report=report)
            for path in default_saes(folder)
        ),
    )
    write_atomically(folder / "card.json", card.model_dump_json(indent=1) + "\n")
    return card


def grids(pm: PreferenceModel, texts: Sequence[tuple[str, str]]) -> list[Grid]:
    """Return grids of (prompt, completion) texts, in their order; prompts are shared."""
    made = []
    for first in range(0, len(texts), ROWS_AT_ONCE):
        part = texts[first : first + ROWS_AT_ONCE]
        numbers = {prompt: number for number, prompt in enumerate(dict(part))}
        made.append(Grid(tuple(row_of(pm, numbers[prompt], prompt, text) for prompt, text in part)))
    return made


def measure_pm(
    pm: PreferenceModel, pairs: Sequence[Pair], *, report: Report
) -> list[SourceAccuracy]:
    """Return accuracy by source on held-out pairs."""

    def score(texts: Sequence[tuple[str, str]]) -> list[float]:
        found: list[float] = []
        for grid in grids(pm, texts):
            found += rewards(pm, grid).tolist()
            report(f"scored {len(found)} of {len(texts)} texts")
        return found

    return accuracy_by_source(pairs, score)


def measure_sae(pm: PreferenceModel, sae: Sae, texts: Sequence[Grid], *, report: Report) -> SaeCard:
    """Return one SAE's figures on grids of held-out texts."""
    fits: list[SaeFit] = []
    fired = torch.zeros(sae.width, dtype=torch.bool)
    clean: list[float] = []
    spliced: list[float] = []
    for grid in texts:
        one = trace(pm, (sae,), grid, also=neighbours(sae, pm.depth))
        fits.append(measure_fit(one, sae))
        fired[one.features[sae.name].latent.cpu()] = True
        clean += one.rewards.tolist()
        spliced += splice_reconstruction(one, sae).tolist()
        report(f"{sae.name}: measured on {len(clean)} of {sum(map(len, texts))} texts")
    weights = [fit.tokens for fit in fits]
    return SaeCard(
        sae=sae.name,
        layer=sae.layer,
        width=sae.width,
        tokens=sum(weights),
        massive=sum(fit.massive for fit in fits),
        l0=float(np.average([fit.l0 for fit in fits], weights=weights)),
        fvu=float(np.average([fit.fvu for fit in fits], weights=weights)),
        cosine=float(np.average([fit.cosine for fit in fits], weights=weights)),
        dead_share=float((~fired).double().mean()),
        reward_correlation=float(np.corrcoef(clean, spliced)[0, 1]),
    )


def row_of(pm: PreferenceModel, number: int, prompt: str, text: str) -> Row:
    """Return prompt and completion as the PM reads them, the prompt written out already."""
    encoded = pm.tokenizer(prompt + text, return_offsets_mapping=True, split_special_tokens=True)
    start = next(
        (at for at, (_, end) in enumerate(encoded.offset_mapping) if end > len(prompt)),
        len(encoded.input_ids),
    )
    return Row(number, (*encoded.input_ids, *pm.text_format.appended), start)
