"""The subject of an audit: the PM, or one for each of its objectives, and the SAEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pm_audit.errors import ModelError, SaeError
from pm_audit.files import exists
from pm_audit.loading.default import pm as default
from pm_audit.loading.device import require_device
from pm_audit.loading.judges.load import load_judge
from pm_audit.loading.judges.names import is_judge, own_folder
from pm_audit.loading.pms import registry
from pm_audit.loading.recipe_folder import default_saes, recipe_folder
from pm_audit.loading.repaired import repaired
from pm_audit.loading.saes.registry import load as load_sae
from pm_audit.spec import ALL_OBJECTIVES, Settings
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TextSettings


def load_subject(settings: Settings) -> tuple[PreferenceModel, tuple[Sae, ...]]:
    """Load the PM and its SAEs, as ``load_subjects`` does, for one objective.

    Raises:
        ModelError: several objectives of it were requested, or as ``load_subjects``.

    """
    pms, saes = load_subjects(settings)
    return only(pms), saes


def only(pms: Sequence[PreferenceModel]) -> PreferenceModel:
    """Return the only PM of a subject.

    Raises:
        ModelError: there is one for each of several objectives.

    """
    if len(pms) > 1:
        names = ", ".join(str(pm.objective) for pm in pms)
        raise ModelError(
            f"{pms[0].name}: one reward is read at a time; set objective to one of {names}"
        )
    return pms[0]


def load_subjects(settings: Settings) -> tuple[tuple[PreferenceModel, ...], tuple[Sae, ...]]:
    """Load one PM for each requested objective, on one body, and the SAEs.

    Raises:
        ModelError: the PM cannot be loaded.
        SaeError: an SAE cannot be loaded, or none was named for a PM that has none.
        DownloadError: the default PM's base cannot be fetched.

    """
    pms = pms_of(settings)
    return pms, saes_of(settings, pm_name=pms[0].name)


def pms_of(settings: Settings) -> tuple[PreferenceModel, ...]:
    """Load one PM for each objective that the settings ask for, on one body, repaired if they say.

    Raises:
        ModelError: it cannot be loaded, or the repair is of another PM.

    """
    pms = load_pms(
        settings.pm,
        objective=settings.objective,
        dtype=getattr(torch, settings.dtype.value),
        device=settings.device,
        text_format=settings.text_format,
        text_end=settings.text_end,
        text_start=settings.text_start,
        text_date=settings.text_date,
        judge_template=settings.judge_template,
        judge_verdicts=settings.judge_verdicts,
    )
    if settings.repair is None:
        return pms
    folder = settings.repair
    return tuple(repaired(pm, folder) for pm in pms)


def saes_of(settings: Settings, *, pm_name: str) -> tuple[Sae, ...]:
    """Load the SAEs that the settings name, or the uppermost of the PM's own."""
    folder = own_folder(settings.pm)
    paths = _sae_paths(settings.saes, folder)
    if not paths:
        raise SaeError(
            f"no SAE is named for {settings.pm}; give one with --pm-audit-sae PATH (in Python: "
            "sae=PATH), or `saes` in [tool.pm_audit]"
        )
    saes = (load_sae(path, device=settings.device) for path in paths)
    return tuple(_named_by_owner(sae, pm_name, folder) for sae in saes)


def load_pms(
    pm: str | Path,
    *,
    objective: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    judge_template: str | None = None,
    judge_verdicts: str | None = None,
    **text: Any,
) -> tuple[PreferenceModel, ...]:
    """Load ``default``, a folder of our own recipe, a judge, or what one of the families loads.

    Args:
        pm: as an audit names it.
        objective: which of several, a mixture, or ``all``.
        dtype: of the PM's body.
        device: where the weights go.
        judge_template: the rubric of a judge.
        judge_verdicts: the tokens that answer it, separated by commas.
        text: the fields of ``TextSettings``: text_format, text_end, text_start, text_date.

    Raises:
        AuditError: the device is unknown or not there.
        ModelError: the PM cannot be loaded.
        DownloadError: the default PM's base cannot be fetched.

    """
    require_device(str(device))
    if is_judge(pm):
        _refuse_objective(pm, objective)
        settings = TextSettings(**text)
        rubric: dict[str, Any] = {"template": judge_template, "verdicts": judge_verdicts}
        return (load_judge(pm, **rubric, dtype=dtype, device=device, text=settings),)
    if judge_template is not None or judge_verdicts is not None:
        raise ModelError(
            f"{pm}: judge_template or judge_verdicts is set, and this PM is no judge; name a "
            "language model as judge:PATH, or leave the settings out"
        )
    folder = recipe_folder(pm)
    if folder is None:
        return registry.load_each(pm, objective=objective, dtype=dtype, device=device, **text)
    _refuse_objective(pm, objective)
    return (default.load_pm(folder, dtype=dtype, device=device, **text),)


def objectives(settings: Settings) -> tuple[str | None, ...]:
    """Return what each hypothesis is judged for, without loading weights; None for the only one."""
    if is_judge(settings.pm) or recipe_folder(settings.pm) is not None:
        _refuse_objective(settings.pm, settings.objective)
        return (None,)
    if settings.objective != ALL_OBJECTIVES:
        return (settings.objective,)
    return registry.objectives(settings.pm) or (None,)


def _refuse_objective(pm: str | Path, objective: str | None) -> None:
    if objective not in (None, ALL_OBJECTIVES):
        raise ModelError(
            f"{pm}: objective {objective!r} was named, this PM has only one; leave the setting out"
        )


def _sae_paths(named: tuple[str, ...], folder: Path | None) -> tuple[str | Path, ...]:
    """Return where the SAEs are: those named, else the uppermost of the PM's own.

    An SAE of the PM's own folder may be named by its folder alone, such as ``layer_5``.
    """
    if folder is None:
        return named
    own = {path.name: path for path in default_saes(folder)}
    for name in named:
        if name not in own and not exists(name) and Path(name).name == name:
            known = ", ".join(own) or "none"
            raise SaeError(
                f"{name}: no such file or folder, and this PM's own SAEs are {known}; check the "
                "path"
            )
    if named:
        return tuple(own.get(name, name) for name in named)
    # the uppermost is the cheapest to ablate
    return tuple(own.values())[-1:]


def _named_by_owner(sae: Sae, pm_name: str, folder: Path | None) -> Sae:
    """Return a PM's own SAE with the PM as its source: records travel, paths do not."""
    if folder is None or not Path(sae.source).resolve().is_relative_to(folder.resolve()):
        return sae
    return replace(sae, source=f"{pm_name}/{sae.name}")
