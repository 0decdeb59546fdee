"""Folders that our own recipe wrote, such as the default PM's, found without torch."""

from __future__ import annotations

from pathlib import Path

from pm_audit.files import exists

NAME = "default"
EDIT = "edit.json"
"""File of a repair's folder that says what is edited."""
FOLDER = Path(__file__).parent / "default" / "weights"


def is_recipe_folder(path: str | Path) -> bool:
    """Whether ``path`` is a folder that ``pm-audit train pm`` wrote."""
    return all(exists(Path(path) / name) for name in ("adapter.safetensors", "recipe.json"))


def recipe_folder(pm: str | Path) -> Path | None:
    """Return the folder of the default PM, or of another that our recipe made; None for others."""
    if str(pm) == NAME:
        return FOLDER
    return Path(pm) if is_recipe_folder(pm) else None


def default_saes(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Return the folders of the SAEs that were trained on the PM in ``folder``, by layer."""
    found = folder.glob("layer_*/cfg.json")
    return tuple(sorted((path.parent for path in found), key=lambda path: int(path.name[6:])))
