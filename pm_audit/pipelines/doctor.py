"""The doctor: whether a PM is fit to be audited, and whether these SAEs belong to it.

    load -> preflight -> reference completions -> SAE fit at its layer and the neighbours
      -> reward and contrasts with the reconstruction spliced in

Every question gets a row with what was measured and, where it failed, the remedy; what cannot be
loaded is a row too, so that one broken SAE does not hide the findings on another.
"""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tabulate import tabulate

from pm_audit.errors import AuditError
from pm_audit.forward.fit import measure_fit, neighbours
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.scale import reference_grid
from pm_audit.forward.splice import splice_reconstruction
from pm_audit.forward.trace import Trace, rewards, trace
from pm_audit.loading.default import pm as default
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.loading.subject import load_pms, recipe_folder
from pm_audit.report import sanitise
from pm_audit.subject.library import library_rewards, library_rows
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.subject.preflight import TEXTS, Finding, preflight, same_rewards
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TextFormat

FVU_CEILING = 0.35
COSINE_FLOOR = 0.8
CORRELATION_FLOOR = 0.9
NORM_RATIO = (0.7, 1.1)
"""Norm of the reconstruction as a share of the stream's; shrinkage below, a wrong scale above."""
L0_SHARE = 0.2
"""Most of the latents that may fire on a token: denser is no sparse code."""
_CONVENTIONS = "conventions"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding about the PM or about one of its SAEs."""

    about: str
    """``PM``, or the SAE's name."""
    finding: Finding


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Everything the doctor found, in order."""

    rows: tuple[Diagnosis, ...]

    @property
    def passed(self) -> bool:
        """Whether every finding passed."""
        return all(row.finding.passed for row in self.rows)

    def render(self) -> str:
        """Return a table for the terminal, at most 100 columns wide."""
        table = [
            [
                _cell(row.about, 18),
                _cell(row.finding.check, 24),
                "PASS" if row.finding.passed else "FAIL",
                _wrapped(row.finding.detail, 46),
            ]
            for row in self.rows
        ]
        headers = ["about", "check", "", "measured"]
        lines = [tabulate(table, headers=headers, disable_numparse=True)]
        failed = [row for row in self.rows if not row.finding.passed]
        # the conventions that were taken are printed in full: the table cuts them
        taken = [row for row in self.rows if row.finding.check == _CONVENTIONS]
        for row in (*taken, *failed):
            said = f"{row.about}, {row.finding.check}: {row.finding.remedy or row.finding.detail}"
            shown = sanitise.terminal(said)
            lines.append(textwrap.fill(shown, 100, subsequent_indent="  ", break_on_hyphens=False))
        count = len(self.rows)
        lines.append(f"{len(failed)} of {count} failed" if failed else f"all {count} passed")
        return "\n".join(lines)


def doctor(
    model: str | Path,
    saes: Sequence[str | Path] = (),
    *,
    text_format: str | None = None,
    objective: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    text_end: str | None = None,
    text_start: str | None = None,
    text_date: datetime.date | None = None,
) -> DoctorReport:
    """Examine a PM and its SAEs.

    Args:
        model: as an audit names it; ``default`` is the default PM, which brings its own SAEs.
        saes: folders, files or SAELens names; none for the PM alone.
        text_format: hh, chat, raw, ...; None takes the PM's own.
        objective: which of several the PM has, a mixture, or ``all``.
        dtype: of the PM's body.
        device: where both are examined.
        text_end: as-written, eos, openrlhf or a special token; None takes the PM's own.
        text_start: bos or as-written; None for bos.
        text_date: day that a chat template gets for today; None for 2024-07-26.

    """
    try:
        pms = load_pms(
            model,
            text_format=text_format,
            objective=objective,
            dtype=dtype,
            device=device,
            text_end=text_end,
            text_start=text_start,
            text_date=text_date,
        )
        rows = [
            Diagnosis(_about(pm), finding)
            for pm in pms
            for finding in (*_conventions(pm), *preflight(pm), *_replayed(pm))
        ]
    except AuditError as problem:
        return DoctorReport((Diagnosis("PM", _broken(problem)),))
    folder = recipe_folder(model)
    for place in saes or (() if folder is None else default.default_saes(folder)):
        rows += _examine_sae(pms, place, device)
    return DoctorReport(tuple(rows))


def _conventions(pm: PreferenceModel) -> list[Finding]:
    """Say which conventions the loader took where the checkpoint leaves a choice."""
    return [Finding(_CONVENTIONS, passed=True, detail=note) for note in pm.notes]


def _about(pm: PreferenceModel) -> str:
    return "PM" if pm.objective is None else f"PM {pm.objective}"


def _replayed(pm: PreferenceModel) -> tuple[Finding, ...]:
    """Hold what an audit reads, by the engine's own forward, against transformers' rewards."""
    if pm.readout is Readout.FIRST or not isinstance(pm.text_format, TextFormat):
        return ()
    rows = [pm.text_format.tokenise(*text) for text in TEXTS]
    grid = Grid(tuple(Row(n, row.token_ids, row.completion_start) for n, row in enumerate(rows)))
    own = library_rewards(pm, library_rows(pm.text_format, TEXTS))
    engine = torch.from_numpy(rewards(pm, grid)).float()
    return (same_rewards(pm, own, engine, "engine as transformers"),)


def _examine_sae(
    pms: Sequence[PreferenceModel], place: str | Path, device: str | torch.device
) -> list[Diagnosis]:
    """Examine one SAE: how it fits the body, and what it keeps of each objective's reward."""
    try:
        sae = load_sae(place, device=device)
        texts = reference_grid(pms[0])
        rows = [Diagnosis(sae.name, finding) for finding in _fit(pms[0], sae, texts)]
        for pm in pms:
            clean = trace(pm, (sae,), texts)
            about = sae.name if len(pms) == 1 else f"{sae.name} {pm.objective}"
            rows += [Diagnosis(about, finding) for finding in _spliced(clean, sae)]
    except AuditError as problem:
        return [Diagnosis(Path(place).name, _broken(problem))]
    return rows


def _broken(problem: AuditError) -> Finding:
    return Finding("loads", passed=False, detail="see below", remedy=str(problem))


def _fit(pm: PreferenceModel, sae: Sae, texts: Grid) -> list[Finding]:
    clean = trace(pm, (sae,), texts, also=neighbours(sae, pm.depth))
    fit = measure_fit(clean, sae)
    beside = ", ".join(f"{fvu:.2f}" for fvu in fit.neighbour_fvu)
    described = f"{sae.architecture}, {sae.width} latents, after block {sae.layer}"
    return [
        Finding("loads", passed=True, detail="; ".join((described, *sae.notes))),
        Finding.of(
            "FVU at its layer",
            fit.fvu <= FVU_CEILING,
            f"{fit.fvu:.3f} over {fit.tokens} tokens, {fit.massive} massive left out",
            f"above {FVU_CEILING}: the SAE was trained on another model, layer or kind of text",
        ),
        Finding.of(
            "FVU lowest at its layer",
            all(fit.fvu < other for other in fit.neighbour_fvu),
            f"{beside} at the neighbours",
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
            f"{fit.l0:.1f} features a token, {fit.dead_share:.0%} silent on these texts",
            "features are dense or silent: check normalisation and thresholds",
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


def _wrapped(text: str, width: int) -> str:
    shown = sanitise.terminal(text)
    return textwrap.fill(shown, width, break_on_hyphens=False, max_lines=5, placeholder=" …")


def _cell(text: str, width: int) -> str:
    shown = sanitise.terminal(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"
