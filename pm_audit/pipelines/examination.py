"""What the doctor examines of a loaded PM and of its SAEs; imports torch.

preflight -> reference completions -> SAE fit at its layer and the neighbours
  -> reward and contrasts with the reconstruction spliced in
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pm_audit.errors import AuditError
from pm_audit.forward.fit import measure_fit, neighbours
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.scale import reference_grid
from pm_audit.forward.splice import splice_reconstruction
from pm_audit.forward.trace import Trace, rewards, trace
from pm_audit.judging import FVU_CEILING
from pm_audit.loading.judges.names import own_folder
from pm_audit.loading.recipe_folder import default_saes
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.loading.subject import pms_of
from pm_audit.spec import Settings
from pm_audit.subject.finding import CONVENTIONS, LOADS, Finding
from pm_audit.subject.library import library_rewards, library_rows
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.subject.preflight import TEXTS, preflight, same_rewards
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TextFormat

COSINE_FLOOR = 0.8
CORRELATION_FLOOR = 0.9
NORM_RATIO = (0.7, 1.1)
"""Norm of the reconstruction as a share of the stream's; shrinkage below, a wrong scale above."""
L0_SHARE = 0.2
"""Largest share of the latents that may be active on a token."""


def examine(settings: Settings) -> Iterator[tuple[str, Finding]]:
    """Yield what each finding is about, the PM or an SAE, and the finding."""
    try:
        pms = pms_of(settings)
        for pm in pms:
            about = "PM" if pm.objective is None else f"PM {pm.objective}"
            for finding in (*_conventions(pm), *preflight(pm), *_replayed(pm)):
                yield about, finding
    except AuditError as problem:
        yield "PM", Finding.of_error(problem)
        return
    folder = own_folder(settings.pm)
    for place in settings.saes or (() if folder is None else default_saes(folder)):
        yield from _examine_sae(pms, place, settings.device)


def _conventions(pm: PreferenceModel) -> list[Finding]:
    """Return which conventions the loader took, if the checkpoint leaves a choice."""
    return [Finding(CONVENTIONS, passed=True, detail=note) for note in pm.notes]


def _replayed(pm: PreferenceModel) -> tuple[Finding, ...]:
    """Compare the rewards of the audit's own forward with transformers'."""
    if pm.readout is Readout.FIRST or not isinstance(pm.text_format, TextFormat):
        return ()
    rows = [pm.text_format.tokenise(*text) for text in TEXTS]
    grid = Grid(tuple(Row(n, row.token_ids, row.completion_start) for n, row in enumerate(rows)))
    own = library_rewards(pm, library_rows(pm.text_format, TEXTS))
    # transformers knows no completion, so that it makes no lasting edit
    read = torch.from_numpy(rewards(replace(pm, edits=()), grid)).float()
    return (same_rewards(pm, own, read, "forward as transformers"),)


def _examine_sae(
    pms: Sequence[PreferenceModel], place: str | Path, device: str
) -> Iterator[tuple[str, Finding]]:
    """Examine one SAE: how it fits the body, and what it keeps of each objective's reward."""
    try:
        sae = load_sae(place, device=device)
        texts = reference_grid(pms[0])
        found = [(sae.name, finding) for finding in _fit(pms[0], sae, texts)]
        for pm in pms:
            clean = trace(pm, (sae,), texts)
            about = sae.name if len(pms) == 1 else f"{sae.name} {pm.objective}"
            found += [(about, finding) for finding in _spliced(clean, sae)]
    except AuditError as problem:
        found = [(Path(place).name, Finding.of_error(problem))]
    yield from found


def _fit(pm: PreferenceModel, sae: Sae, texts: Grid) -> list[Finding]:
    clean = trace(pm, (sae,), texts, also=neighbours(sae, pm.depth))
    fit = measure_fit(clean, sae)
    at_neighbours = ", ".join(f"{fvu:.2f}" for fvu in fit.neighbour_fvu)
    described = f"{sae.architecture}, {sae.width} latents, after block {sae.layer}"
    return [
        Finding(LOADS, passed=True, detail="; ".join((described, *sae.notes))),
        Finding.of(
            "FVU at its layer",
            fit.fvu <= FVU_CEILING,
            f"{fit.fvu:.3f} over {fit.tokens} tokens, {fit.massive} massive left out",
            f"above {FVU_CEILING}: the SAE was trained on another model, layer or kind of text",
        ),
        Finding.of(
            "FVU lowest at its layer",
            all(fit.fvu < other for other in fit.neighbour_fvu),
            f"{at_neighbours} at the neighbours",
            "it fits a neighbouring block as well or better: name its layer",
        ),
        Finding.of(
            "cosine",
            fit.cosine >= COSINE_FLOOR,
            f"{fit.cosine:.3f}",
            f"below {COSINE_FLOOR}: the reconstruction points elsewhere; use another SAE",
        ),
        _norm_ratio(clean, sae),
        Finding.of(
            "L0",
            0 < fit.l0 <= L0_SHARE * sae.width,
            f"{fit.l0:.1f} features a token, {fit.dead_share:.0%} inactive on these texts",
            "features are dense or inactive: check normalisation and thresholds",
        ),
    ]


@torch.inference_mode()
def _norm_ratio(clean: Trace, sae: Sae) -> Finding:
    stream = clean.streams[sae.layer].to(sae.W_dec.dtype)
    reconstruction = sae.decode(sae.encode(stream))
    ratio = float((reconstruction.norm(dim=-1) / stream.norm(dim=-1)).median())
    low, high = NORM_RATIO
    return Finding.of(
        "norm ratio",
        low <= ratio <= high,
        f"{ratio:.2f} of the stream's norm",
        f"outside {low} to {high}: a scale was not folded into the weights, or shrinkage is strong",
    )


def _spliced(clean: Trace, sae: Sae) -> list[Finding]:
    prompts = [row.prompt for row in clean.grid.rows]
    after = splice_reconstruction(clean, sae)
    raw = float(np.corrcoef(clean.rewards, after)[0, 1])
    within = float(np.corrcoef(_within(clean.rewards, prompts), _within(after, prompts))[0, 1])
    remedy = (
        f"below {CORRELATION_FLOOR}: part of what the PM rewards lies in the SAE's error term, "
        "which no feature explains; try an SAE of another layer, or train one on this PM's texts"
    )
    return [
        Finding.of("reward kept when spliced", raw >= CORRELATION_FLOOR, f"r = {raw:.3f}", remedy),
        Finding.of(
            "gaps kept when spliced", within >= CORRELATION_FLOOR, f"r = {within:.3f}", remedy
        ),
    ]


def _within(rewards: npt.NDArray[np.float64], prompts: list[int]) -> npt.NDArray[np.float64]:
    """Return rewards less their prompt's mean: only differences for one prompt have meaning."""
    number = np.asarray(prompts)
    means = {prompt: rewards[number == prompt].mean() for prompt in set(prompts)}
    centred: npt.NDArray[np.float64] = rewards - np.array([means[prompt] for prompt in prompts])
    return centred
