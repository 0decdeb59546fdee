"""What a run takes in: settings, hypotheses, and the notes that its processes share."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pm_audit.errors import InvalidSpec, Place, Problem, RecordError
from pm_audit.pytest_plugin.surroundings import Surroundings
from pm_audit.records import Check, ManifestEntry, write_atomically
from pm_audit.spec import ALL_OBJECTIVES, Hypothesis, Settings, load_hypotheses

_SURROUNDINGS = "surroundings.json"
_SELECTED = "selected.json"


def settings(root: Path, given: dict[str, dict[str, Any]]) -> Settings:
    """Return the run's settings: command line, then ``[tool.pm_audit]``, then ini, then defaults.

    Raises:
        InvalidSpec: pyproject.toml cannot be read, or a setting is unknown or of another kind.

    """
    return Settings.merged(cli=given["cli"], project=_project_table(root), ini=given["ini"])


def _project_table(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidSpec([Problem(Place(path.name), f"cannot be read: {error}")]) from None
    if "pm-audit" in tools:
        # the package's own spelling: passed over, the default PM would be audited in silence
        message = "[tool.pm-audit] is not read; write [tool.pm_audit]"
        raise InvalidSpec([Problem(Place(path.name), message)])
    table = tools.get("pm_audit", {})
    if not isinstance(table, dict):
        raise InvalidSpec([Problem(Place(path.name), "tool.pm_audit must be a table")])
    return table


def hypothesis_paths(named: Sequence[str], *, folder: Path, invoked_from: Path) -> list[Path]:
    """Return the files and folders whose hypotheses the run sets out to judge.

    With no path named, the hypotheses folder.  A named folder that holds the hypotheses folder
    stands for it, so that ``pytest --pm-audit .`` takes no other YAML for a hypothesis.

    Raises:
        InvalidSpec: there is no hypotheses folder.

    """
    if not named:
        if not folder.is_dir():
            raise InvalidSpec(
                [Problem(Place(str(folder)), "no such folder; `pm-audit init` writes a first one")]
            )
        return [folder]
    paths = [invoked_from / argument.split("::", 1)[0] for argument in named]
    return [folder if _holds(path, folder) else path for path in paths]


def _holds(path: Path, folder: Path) -> bool:
    return folder.is_dir() and folder.resolve().is_relative_to(path.resolve())


def hypotheses(paths: Iterable[Path], root: Path, chosen: Settings) -> tuple[Hypothesis, ...]:
    """Return the hypotheses of the run, each once for every objective that it is judged for.

    Raises:
        InvalidSpec: anything wrong in any file; every fault of every file in one error.
        ModelError: each objective of a PM was asked for, and there is no such PM.

    """
    read = load_hypotheses(paths, root, probes=Path(chosen.probes))
    judged_for = _objectives(chosen)
    return tuple(
        hypothesis.model_copy(update={"objective": objective})
        for hypothesis in read
        for objective in judged_for
    )


def _objectives(chosen: Settings) -> tuple[str | None, ...]:
    """Return the objectives that each hypothesis is judged for, of which most PMs have one."""
    if chosen.objective != ALL_OBJECTIVES:
        return (chosen.objective,)
    from pm_audit.loading.subject import objectives  # imports torch, which other runs need later

    return objectives(chosen)


def manifest(hypotheses_read: Iterable[Hypothesis]) -> tuple[ManifestEntry, ...]:
    """Return what the run sets out to judge: each check of each hypothesis."""
    return tuple(
        ManifestEntry(
            name=hypothesis.full_name,
            file=hypothesis.file,
            line=hypothesis.line,
            sha256=hypothesis.sha256,
            checks=Check.known(),
        )
        for hypothesis in hypotheses_read
    )


def write_surroundings(folder: Path, surroundings: Surroundings) -> None:
    """Leave for the controller what was audited, how and where.

    Raises:
        RecordError: another process of this run audited something else.

    """
    path = folder / _SURROUNDINGS
    earlier = read_surroundings(folder)
    if earlier is None:
        write_atomically(path, surroundings.model_dump_json())
    elif (earlier.subject, earlier.method) != (surroundings.subject, surroundings.method):
        raise RecordError(
            "the processes of this run audited different PMs or SAEs; "
            "was a file changed while it ran? run it again"
        )


def read_surroundings(folder: Path) -> Surroundings | None:
    """Return what was audited, or None where nothing was."""
    path = folder / _SURROUNDINGS
    if not path.exists():
        return None
    try:
        return Surroundings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error


def write_selected(folder: Path, selected: Iterable[tuple[str, Check]]) -> None:
    """Leave for the controller which checks were left after collection."""
    write_atomically(folder / _SELECTED, json.dumps(sorted(selected)))


def read_selected(folder: Path) -> frozenset[tuple[str, Check]]:
    """Return the checks that were left after collection; none where nothing was collected."""
    path = folder / _SELECTED
    if not path.exists():
        return frozenset()
    pairs = json.loads(path.read_text(encoding="utf-8"))
    return frozenset((name, Check(check)) for name, check in pairs)
