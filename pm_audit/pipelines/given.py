"""Arguments of the Python API, names or loaded objects, as settings, hypotheses and a subject."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pm_audit.errors import AuditError, InvalidSpec, Place, Problem
from pm_audit.files import named as path_named
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

Choice = TypeVar("Choice", bound=StrEnum)

ONE_AT_A_TIME = threading.RLock()
"""While a PM runs, its blocks and attention, and settings of torch, are those of that run."""

OF_A_PM = (
    *("text_format", "text_end", "text_start", "text_date", "repair"),
    *("judge_template", "judge_verdicts"),
    *("objective", "dtype", "device"),
)
"""Settings of loading a PM."""
OF_A_SCAN = frozenset(
    ("sampler", "sample", "by", "shortest", "longest", "held_out", "candidates", "ablated")
) | {"ig_steps", "confidence", "seed"}
"""Settings of a scan."""
OF_A_PROPOSAL = frozenset(("groups", "drafts", "prompts", "seed"))
"""Settings of drafting hypotheses; ``prompts`` is of each draft."""
OF_EXPLOITS = frozenset(
    ("length", "held_out", "share", "positions", "ordinary", "words", "perplexity", "texts")
) | {"language_model", "audits", "confidence", "seed"}
"""Settings of a search for exploits."""
_OF_PYTEST = ("baseline", "gate")


def settings_of(pm: Pm | None, sae: Saes | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the names of PM and SAEs; loaded objects have no such name.

    Raises:
        InvalidSpec: a setting has no effect on what is given.

    """
    if sae is not None and "saes" in settings:
        raise _refused("saes", "is given as sae too; leave one of them out")
    if sae is not None and not each(sae):
        raise _refused("sae", "is an empty list; give at least one, or leave it out")
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
    every = _each_hypothesis(hypotheses)
    paths = [one for one in every or () if not isinstance(one, Hypothesis)]
    place = project.find_root(paths) if root is None else path_of("root", root).absolute()
    if root is not None and not place.is_dir():
        raise _refused("root", f"{place} is no folder; name the project's own")
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


def _each_hypothesis(hypotheses: Hypotheses | None) -> list[Path | Hypothesis] | None:
    """Return what is given as paths and objects, in its order; None if nothing is."""
    if hypotheses is None:
        return None
    if isinstance(hypotheses, str | PathLike | Hypothesis):
        hypotheses = [hypotheses]
    if not isinstance(hypotheses, Iterable) or isinstance(hypotheses, bytes | Mapping | Set):
        raise _refused(
            "hypotheses", f"must be a path, a Hypothesis or a list of them, not {_kind(hypotheses)}"
        )
    return [
        one if isinstance(one, Hypothesis) else path_of("hypotheses", one) for one in hypotheses
    ]


def path_of(setting: str, given: object) -> Path:
    """Return a path that is given under the name ``setting``.

    Raises:
        AuditError: it is of another type, empty, or no system allows it.

    """
    if not isinstance(given, str | PathLike):
        raise _refused(setting, f"must be a path, not {_kind(given)}")
    return path_named(Path(given) if given else "", error=AuditError)


def name_of(setting: str, given: object) -> str:
    """Return a name or path as text.

    Raises:
        InvalidSpec: it is of another type.

    """
    if not isinstance(given, str | PathLike):
        raise _refused(setting, f"must be a name or a path, not {_kind(given)}")
    return str(given)


def one_of(choices: type[Choice], setting: str, given: str) -> Choice:
    """Return the choice of this name.

    Raises:
        InvalidSpec: there is none.

    """
    try:
        return choices(given)
    except ValueError:
        known = ", ".join(one.value for one in choices)
        raise _refused(setting, f"must be one of {known}, not {given!r}") from None


def require_pm(pm: object) -> PreferenceModel:
    """Return a loaded PM.

    Raises:
        InvalidSpec: it is something else.

    """
    from pm_audit.subject.preference_model import PreferenceModel

    if not isinstance(pm, PreferenceModel):
        raise _refused("pm", f"must be a name or what load_pm returned, not {_kind(pm)}")
    return pm


def _require_sae(sae: object) -> Sae:
    import torch

    from pm_audit.subject.sae import Sae

    if not isinstance(sae, Sae):
        raise _refused("sae", f"must be a name or what load_sae returned, not {_kind(sae)}")
    # files may mix dtypes, which loading makes alike
    kinds = {(one.dtype, one.device) for one in (sae.W_dec, sae.W_enc, sae.b_enc, sae.b_dec)}
    if len(kinds) > 1:
        raise _refused("sae", f"{sae.name} mixes dtypes or devices; make them alike with its `to`")
    # loading widens 16-bit weights as well
    return sae if sae.W_dec.dtype.itemsize > 2 else sae.to(dtype=torch.float32)


def loaded_subject(
    pm: Pm | None, sae: Saes | None, settings: Settings
) -> tuple[Sequence[PreferenceModel], Sequence[Sae]] | None:
    """Return the subject if a part of it is given as an object; None if all of it is named.

    Raises:
        AuditError: a name cannot be what is meant, or its files cannot be loaded.

    """
    if sae is not None and not each(sae):
        raise _refused("sae", "is an empty list; give at least one, or leave it out")
    named = pm is None or isinstance(pm, str | Path)
    if named and all(isinstance(one, str | Path) for one in each(sae)):
        require_named_subject(settings)
        return None
    from pm_audit.loading.subject import pms_of, saes_of

    pms = pms_of(settings) if pm is None or isinstance(pm, str | Path) else (require_pm(pm),)
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
            saes.append(_require_sae(one))
    return pms, saes


def each(sae: Saes | None) -> Sequence[OneSae]:
    """Return the SAEs that are given."""
    if sae is None:
        return ()
    return sae if isinstance(sae, list | tuple) else (sae,)


def reporter(progress: object) -> Callable[[str], None] | None:
    """Return what receives the progress of a run; True writes it to stderr.

    Raises:
        AuditError: it is neither a boolean nor a function.

    """
    if progress is None or isinstance(progress, bool):
        return _to_stderr if progress else None
    if not callable(progress):
        raise AuditError(f"progress must be True or a function, not {type(progress).__name__}")
    return progress


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _kind(given: object) -> str:
    return type(given).__name__


def _refused(setting: str, message: str) -> InvalidSpec:
    return InvalidSpec([Problem(Place(f"setting {setting}"), message)])
