"""Arguments of the Python API, names or loaded objects, as settings, hypotheses and a subject."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.loading.named import require_named_subject
from pm_audit.pipelines import project
from pm_audit.spec import Hypothesis, Settings, load_hypotheses

if TYPE_CHECKING:
    from pm_audit.subject.preference_model import PreferenceModel
    from pm_audit.subject.sae import Sae

    Pm = str | Path | PreferenceModel
    OneSae = str | Path | Sae
    Saes = OneSae | Sequence[OneSae]
    Hypotheses = str | Path | Hypothesis | Iterable[str | Path | Hypothesis]

OF_A_PM = ("text_format", "text_end", "text_start", "text_date", "objective", "dtype", "device")
"""Settings of loading a PM."""
_OF_PYTEST = ("baseline", "gate")


def settings_of(pm: Pm | None, sae: Saes | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the names of PM and SAEs; loaded objects have no such name.

    Raises:
        InvalidSpec: a setting has no effect on what is given.

    """
    if sae is not None and "saes" in settings:
        raise _refused("saes", "is given as sae too; leave one of them out")
    for name in _OF_PYTEST:
        if settings.get(name) is not None:
            raise _refused(name, "compares a run of pytest with a release; use pm_audit.compare")
    named = [str(one) for one in each(sae) if isinstance(one, str | Path)]
    saes = {"saes": named} if named else {}
    if pm is None or isinstance(pm, str | Path):
        return settings | saes | ({} if pm is None else {"pm": str(pm)})
    for name in OF_A_PM:
        if settings.get(name) is not None:
            raise _refused(name, "belongs to loading, and this PM is loaded; give it to load_pm")
    return settings | saes


def known_only(known: tuple[str, ...], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings.

    Raises:
        InvalidSpec: one of them is not among those that are known here.

    """
    Settings.merged(python=settings)  # an unknown name is refused with the names that are near
    for name in settings:
        if name not in known:
            raise _refused(name, f"has no effect here; give any of {', '.join(known)}")
    return settings


def read_project(
    hypotheses: Hypotheses | None, root: str | Path | None, given: dict[str, Any]
) -> tuple[Path, Settings, tuple[Hypothesis, ...]]:
    """Return the project's root, the settings, and the hypotheses with their prompts.

    Raises:
        InvalidSpec: a setting or a hypothesis is not as it must be, or no hypothesis is given.

    """
    named = [hypotheses] if isinstance(hypotheses, str | Path | Hypothesis) else hypotheses
    every = None if named is None else list(named)
    paths = [Path(one) for one in every or () if not isinstance(one, Hypothesis)]
    place = project.find_root(paths) if root is None else Path(root).absolute()
    settings = project.read_settings(place, python=given)
    if every == []:
        raise _refused("hypotheses", "is an empty list; give at least one, or leave it out")
    folder = place / settings.hypotheses
    sources: list[Path | Hypothesis] = []
    for one in (settings.hypotheses,) if every is None else every:
        if isinstance(one, Hypothesis):
            sources.append(one)
            continue
        names = () if every is None else (str(one),)
        sources += project.hypothesis_paths(names, folder=folder, cwd=Path.cwd())
    return place, settings, load_hypotheses(sources, place, probes=settings.probes)


def loaded_subject(
    pm: Pm | None, sae: Saes | None, settings: Settings
) -> tuple[Sequence[PreferenceModel], Sequence[Sae]] | None:
    """Return the subject if a part of it is given as an object; None if all of it is named.

    Raises:
        AuditError: a name cannot be what is meant, or its files cannot be loaded.

    """
    named = pm is None or isinstance(pm, str | Path)
    if named and all(isinstance(one, str | Path) for one in each(sae)):
        require_named_subject(settings)
        return None
    from pm_audit.loading.subject import pms_of, saes_of

    pms = pms_of(settings) if pm is None or isinstance(pm, str | Path) else (pm,)
    first = pms[0]
    if not named:
        settings = settings.model_copy(update={"pm": first.name, "device": str(first.device)})
    if sae is None:
        return pms, saes_of(settings, pm_name=first.name)
    saes: list[Sae] = []
    for one in each(sae):
        if isinstance(one, str | Path):
            alone = settings.model_copy(update={"saes": (str(one),)})
            saes += saes_of(alone, pm_name=first.name)
        else:
            saes.append(one)
    return pms, saes


def each(sae: Saes | None) -> Sequence[OneSae]:
    """Return the SAEs that are given."""
    if sae is None:
        return ()
    return sae if isinstance(sae, list | tuple) else (sae,)


def _refused(setting: str, message: str) -> InvalidSpec:
    return InvalidSpec([Problem(Place(f"setting {setting}"), message)])
