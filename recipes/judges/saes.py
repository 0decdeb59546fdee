"""SAEs of a judge with a name: gathered, fitted by the default PM's recipe, measured."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pm_audit.errors import AuditError
from pm_audit.files import sha256
from pm_audit.loading.judges.load import load_judge
from pm_audit.loading.judges.names import PREFIX
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.records import write_atomically
from pm_audit.subject.preference_model import PreferenceModel
from recipes.judges.activations import Report, draw, gather, grid_of, read_shards
from recipes.train.activations import Corpus
from recipes.train.measure import SaeCard, measure_sae
from recipes.train.preferences import is_test, read_pairs
from recipes.train.saes import NOTE, SaeRecipe, fit_sae
from recipes.train.unfinished import made_in, move_whole, unfinished, versions, work_folder

CARD = "card.json"
"""The figures of one SAE, in its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSaeRecipe:
    """Settings of one SAE of a judge; the defaults made the two that come with the package."""

    layer: int = 17
    """Block after which it reads, counted from 0; 10 for Gemma 3 270M."""
    width: int = 2048
    """Number of latents."""
    k: int = 64
    """Active features a token."""
    tokens: int = 65_536
    """Tokens gathered."""
    epochs: float = 6.0
    """Passes over them."""
    seed: int = 0

    @property
    def fit(self) -> SaeRecipe:
        """The recipe of the fit."""
        return SaeRecipe(
            layers=(self.layer,),
            width=self.width,
            k=self.k,
            tokens=self.tokens,
            epochs=self.epochs,
            seed=self.seed,
        )


def train_judge_sae(
    name: str,
    corpus: Corpus,
    out: Path,
    recipe: JudgeSaeRecipe,
    *,
    texts: int = 1,
    report: Report,
) -> SaeCard:
    """Train one SAE of a judge, measure it on held-out prompts, and write ``out/layer_{index}``.

    An interrupted run goes on from its shards and the fit's checkpoint.

    Args:
        name: of the judge, without ``judge:``, or its path.
        corpus: pairs and plain text.
        out: the folder of the judge's SAEs.
        recipe: what is trained.
        texts: grids of held-out texts on which it is measured.
        report: receives progress.

    Raises:
        AuditError: the layer is not in the model, an SAE is there already, or sae-lens is not
            installed.

    """
    pm = load_judge(name if name.startswith(PREFIX) else PREFIX + name)
    if recipe.layer >= pm.depth - 1:
        raise AuditError(
            f"{pm.name} has {pm.depth} blocks, and its reward is read after the last; choose a "
            f"layer below {pm.depth - 1}"
        )
    folder = out / f"layer_{recipe.layer}"
    if folder.exists():
        raise AuditError(f"{folder}: an SAE is there already; remove it or choose another folder")
    key = _key(pm, corpus, recipe)
    with unfinished(work_folder(folder), key) as work:
        shards = gather(
            pm,
            corpus,
            recipe.layer,
            tokens=recipe.tokens,
            folder=work / "activations",
            seed=recipe.seed,
            report=report,
        )
        report(f"fitting {recipe.width} latents")
        made = made_in(work) / folder.name
        fit_sae(
            read_shards(shards, recipe.layer),
            recipe.layer,
            made,
            recipe.fit,
            state=work / "fit.pt",
            model=pm.name,
            autocast=False,
        )
        card = measured(pm, made, corpus, texts=texts, report=report)
        write_atomically(made / CARD, card.model_dump_json(indent=1) + "\n")
        write_atomically(made / NOTE, json.dumps(key, indent=1) + "\n")
        move_whole(made, folder, last=NOTE)
    report(f"wrote {folder}")
    return card


def measured(
    pm: PreferenceModel, folder: Path, corpus: Corpus, *, texts: int, report: Report
) -> SaeCard:
    """Return the figures of a finished SAE on prompts that its training never saw."""
    held_out = [pair for pair in read_pairs(corpus.preferences) if is_test(pair)]
    drawn = draw(held_out, corpus.documents(), seed=1)
    grids = [grid_of(pm, next(drawn)) for _ in range(texts)]
    with torch.no_grad():
        return measure_sae(pm, load_sae(folder), grids, report=report)


def _key(pm: PreferenceModel, corpus: Corpus, recipe: JudgeSaeRecipe) -> dict[str, Any]:
    """Return everything that an SAE's bytes hang on."""
    return {
        "recipe": asdict(recipe),
        "judge": pm.sha256,
        "rubric": pm.text_format.rubric.template,
        "corpus": [sha256([corpus.preferences]), sha256([corpus.text])],
        "made_from": versions(),
    }
