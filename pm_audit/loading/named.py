"""Faults of a subject that show in its names and files, found without importing torch.

A wrong path, an unknown text format or a missing GPU should not cost the seconds that torch and
transformers take to import.  A subject that passes here may still be refused when it is loaded.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from pm_audit.errors import AuditError, InvalidSpec, ModelError, Place, Problem
from pm_audit.files import exists, is_hub_name, read_json
from pm_audit.loading.device import require_device
from pm_audit.loading.judges.names import NAMED, is_judge, judged, own_folder
from pm_audit.loading.recipe_folder import EDIT, default_saes
from pm_audit.loading.saes.spelling import looks_like_release, spelled_out
from pm_audit.spec import ALL_OBJECTIVES, Settings
from pm_audit.text import rubric
from pm_audit.text.ending import STARTS
from pm_audit.text.text_format import NAMES

_CONFIGS = ("config.json", "adapter_config.json")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_HUB_SECONDS = 3.0
_LONGEST = 200
"""Characters of a name that a message shows."""


def require_named_subject(settings: Settings) -> None:
    """Raise one InvalidSpec for every fault of PM, SAEs, text settings, objective and device."""
    found = [*_pm(settings)] or [*_saes(settings)]
    found += [*_text(settings), *_repair(settings), *_device(settings)]
    if found:
        raise InvalidSpec(found)


def require_named_pm(settings: Settings) -> None:
    """Refuse a PM that does not exist and wrong text settings or devices; loading checks the files.

    Raises:
        InvalidSpec: every such fault in one error.

    """
    found = [] if exists(judged(settings.pm).partition("@")[0]) else [*_pm(settings)]
    found += [*_text(settings), *_repair(settings), *_device(settings)]
    if found:
        raise InvalidSpec(found)


def _problem(setting: str, message: str) -> Problem:
    return Problem(Place(f"setting {setting}"), message)


def _pm(settings: Settings) -> Iterator[Problem]:
    name = judged(settings.pm)
    folder = own_folder(settings.pm)
    one = folder is not None or is_judge(settings.pm)
    if one and settings.objective not in (None, ALL_OBJECTIVES):
        yield _problem(
            "objective",
            f"{settings.objective!r} was named, {settings.pm} has only one; leave it out",
        )
    if folder is not None:
        return
    if not name:
        yield _problem("pm", f"{settings.pm} names no language model; write judge:PATH")
        return
    if entry_points(group="pm_audit.pms"):
        return  # a family of another package may find its PMs anywhere
    if not exists(name) and "@" in name:
        name = name.partition("@")[0]
    fault = _fault_of_path(Path(name)) if exists(name) else _fault_of_name(name)
    if fault is not None:
        known = f" (judges with a name: {', '.join(NAMED)})" if is_judge(settings.pm) else ""
        yield _problem("pm", f"{name[:_LONGEST]}: {fault}{known}")


def _fault_of_path(path: Path) -> str | None:
    if not path.is_dir():
        known = path.is_file() and path.suffix == ".gguf"
        return None if known else "one file, and not a GGUF file; name the model's folder"
    present = [path / config for config in _CONFIGS if (path / config).is_file()]
    if not present and not any(path.glob("*.gguf")):
        return f"not a model's folder, it holds no {' or '.join(_CONFIGS)}; check the path"
    try:
        for config in present:
            read_json(config, error=ModelError)
    except AuditError as error:
        return str(error)
    if not any(entry.suffix in _WEIGHTS for entry in path.rglob("*")):
        return f"holds no weights ({', '.join(_WEIGHTS)}); fetch them, or name another folder"
    return None


def _fault_of_name(name: str) -> str | None:
    if not is_hub_name(name):
        return "no such folder; check the path of the preference model"
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if any(isinstance(try_to_load_from_cache(name, config), str) for config in _CONFIGS):
        return None
    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except (RepositoryNotFoundError, HFValidationError):
        return "no such folder, and the Hugging Face hub knows no such model; check the name"
    except Exception as problem:  # noqa: BLE001 - any of them is the fault to report
        if "timeout" in type(problem).__name__.lower():
            return None  # loading waits longer for a slow network
        return (
            "no such folder, and the Hugging Face hub cannot be reached "
            f"({type(problem).__name__}); check the path, the name or the network"
        )
    return None


def _saes(settings: Settings) -> Iterator[Problem]:
    folder = own_folder(settings.pm)
    own = [] if folder is None else [path.name for path in default_saes(folder)]
    if not settings.saes and not own:
        yield _problem(
            "saes",
            f"no SAE is named for {settings.pm}; give one with --pm-audit-sae PATH (in Python: "
            "sae=PATH), or `saes` in [tool.pm_audit]",
        )
    for text in settings.saes:
        if text in own or exists(text):
            continue
        path = spelled_out(text)[0]
        if exists(path) or _released(path):
            continue
        known = f", and this PM's own SAEs are {', '.join(own)}" if own else ""
        yield _problem("saes", f"{text[:_LONGEST]}: no such file or folder{known}; check the path")


def _released(name: str) -> bool:
    """Whether SAELens lists the release, if it is installed; it is not imported."""
    library = importlib.util.find_spec("sae_lens") if looks_like_release(name) else None
    if library is None or library.origin is None:
        return False
    listed = Path(library.origin).with_name("pretrained_saes.yaml")
    if not listed.is_file():
        return True  # another version keeps its list elsewhere; loading looks it up
    release = re.escape(name.partition("/")[0])
    text = listed.read_text(encoding="utf-8")
    return re.search(rf"^['\"]?{release}['\"]?:", text, re.MULTILINE) is not None


def _text(settings: Settings) -> Iterator[Problem]:
    judge = is_judge(settings.pm)
    for setting, message in rubric.faults(settings.judge_template, settings.judge_verdicts):
        yield _problem(setting, message)
    for setting in ("judge_template", "judge_verdicts"):
        if not judge and getattr(settings, setting) is not None:
            yield _problem(setting, f"is of judges, and {settings.pm} is none; leave it out")
    if judge and settings.text_end is not None:
        yield _problem("text_end", "a judge's text ends with its rubric; leave it out")
    formats = rubric.FORMATS if judge else NAMES
    for setting, known in (("text_format", formats), ("text_start", STARTS)):
        value = getattr(settings, setting)
        if value is not None and value not in known:
            yield _problem(setting, f"{value!r} is unknown; choose one of {', '.join(known)}")


def _repair(settings: Settings) -> Iterator[Problem]:
    if settings.repair is not None and not exists(settings.repair / EDIT):
        yield _problem(
            "repair",
            f"{str(settings.repair)[:_LONGEST]}: holds no {EDIT}; name the folder that "
            "`pm-audit repair --export` wrote",
        )


def _device(settings: Settings) -> Iterator[Problem]:
    try:
        require_device(settings.device)
    except AuditError as error:
        yield _problem("device", str(error).removeprefix("device "))
