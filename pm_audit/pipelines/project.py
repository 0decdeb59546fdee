"""A project as a run reads it: its root, its settings, and the hypotheses that are judged.

Nothing here imports torch, unless each objective of a PM is requested.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.spec import ALL_OBJECTIVES, Hypothesis, Settings, load_hypotheses

_MARKS = {
    "pytest.toml": "",
    ".pytest.toml": "",
    "pytest.ini": "",
    ".pytest.ini": "",
    "pyproject.toml": "[tool.pytest",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}
"""Files that configure pytest, and what they hold if they do."""


def find_root(paths: Iterable[Path] = ()) -> Path:
    """Return the project's root as pytest finds it for these paths.

    The root is the closest folder, from what the paths share upwards, that configures pytest; or
    else one that holds a pyproject.toml; or else the working directory.
    """
    here = Path.cwd()
    # relative paths start at the working directory, and links are not followed, as in pytest
    absolute = [Path(os.path.normpath(here / path)) for path in paths]
    start = Path(os.path.commonpath(absolute)) if absolute else here
    start = start if start.is_dir() else start.parent
    folders = (start, *start.parents)
    for folder in folders:
        if any(_holds(folder / name, mark) for name, mark in _MARKS.items()):
            return folder
    for folder in folders:
        if (folder / "pyproject.toml").is_file():
            return folder
    return here if start.is_relative_to(here) else start


def _holds(path: Path, mark: str) -> bool:
    try:
        return mark in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def read_settings(root: Path, **given: dict[str, Any]) -> Settings:
    """Return the settings: those given, then ``[tool.pm_audit]``, then ini, then defaults.

    Args:
        root: the project's folder.
        given: by source, ``cli``, ``python`` or ``ini``, as of ``Settings.merged``.

    Raises:
        InvalidSpec: pyproject.toml cannot be read, or a setting is unknown or of another kind.

    """
    return Settings.merged(project=_project_table(root), **given)


def _project_table(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(path.name, f"cannot be read: {error}") from None
    if "pm-audit" in tools:
        # the package's own spelling: without a message, the default PM would be audited
        raise _refused(path.name, "[tool.pm-audit] is not read; write [tool.pm_audit]")
    table = tools.get("pm_audit", {})
    if not isinstance(table, dict):
        raise _refused(path.name, "tool.pm_audit must be a table")
    return table


def hypothesis_paths(named: Iterable[str], *, folder: Path, cwd: Path) -> list[Path]:
    """Return the files and folders whose hypotheses the run judges.

    Without a named path this is the hypotheses folder.  A named folder that contains the
    hypotheses folder stands for it, so that no other YAML below it is taken for a hypothesis.

    Raises:
        InvalidSpec: there is no hypotheses folder.

    """
    paths = [cwd / argument.split("::", 1)[0] for argument in named]
    if not paths:
        if not folder.is_dir():
            raise _refused(str(folder), "no such folder; `pm-audit init` writes a first one")
        return [folder]
    return [folder if _contains(path, folder) else path for path in paths]


def _contains(path: Path, folder: Path) -> bool:
    return folder.is_dir() and folder.resolve().is_relative_to(path.resolve())


def read_hypotheses(
    hypotheses: Iterable[Path | Hypothesis], root: Path, settings: Settings
) -> tuple[Hypothesis, ...]:
    """Return the hypotheses of the run, each once for every objective that it is judged for.

    Raises:
        InvalidSpec: anything wrong in any hypothesis; holds every fault.
        ModelError: each objective of a PM is requested, and there is no such PM.

    """
    read = load_hypotheses(hypotheses, root, probes=settings.probes)
    return for_objectives(read, objectives_of(settings))


def for_objectives(
    hypotheses: Iterable[Hypothesis], objectives: Sequence[str | None]
) -> tuple[Hypothesis, ...]:
    """Return each hypothesis once for every objective; None is the only one of a PM."""
    return tuple(
        hypothesis.model_copy(update={"objective": objective})
        for hypothesis in hypotheses
        for objective in objectives
    )


def objectives_of(settings: Settings) -> tuple[str | None, ...]:
    """Return the objectives that each hypothesis is judged for; most PMs have one."""
    if settings.objective != ALL_OBJECTIVES:
        return (settings.objective,)
    from pm_audit.loading.subject import objectives  # imports torch, which other runs need later

    return objectives(settings)


def _refused(place: str, message: str) -> InvalidSpec:
    return InvalidSpec([Problem(Place(place), message)])
