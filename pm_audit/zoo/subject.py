"""The subject of an audit: the PM and the SAEs that the settings name."""

from __future__ import annotations

from pathlib import Path

import torch

from pm_audit.errors import SaeError
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.models.registry import load as load_pm
from pm_audit.saes.registry import load as load_sae
from pm_audit.saes.sae import Sae
from pm_audit.spec import Settings
from pm_audit.zoo import default


def load_subject(settings: Settings) -> tuple[PreferenceModel, tuple[Sae, ...]]:
    """Load the PM and its SAEs; ``default``, or a folder of our own recipe, brings its own SAEs.

    Raises:
        ModelError: the PM cannot be loaded.
        SaeError: an SAE cannot be loaded, or none was named for a PM that has none.
        DownloadError: the default PM's base cannot be fetched.

    """
    dtype: torch.dtype = getattr(torch, settings.dtype.value)
    folder = _recipe_folder(settings.pm)
    if folder is not None:
        pm = default.load_pm(
            folder, text_format=settings.text_format, dtype=dtype, device=settings.device
        )
    else:
        pm = load_pm(
            settings.pm,
            text_format=settings.text_format,
            objective=settings.objective,
            dtype=dtype,
            device=settings.device,
        )
    paths: tuple[str | Path, ...] = settings.saes
    if not paths and folder is not None:
        paths = default.default_saes(folder)
    if not paths:
        raise SaeError(
            f"no SAE is named for {settings.pm}; give one with --pm-audit-sae PATH, or `saes` in "
            "[tool.pm_audit]"
        )
    return pm, tuple(load_sae(path, device=settings.device) for path in paths)


def _recipe_folder(pm: str) -> Path | None:
    if pm == default.NAME:
        return default.FOLDER
    return Path(pm) if default.is_recipe_folder(pm) else None
