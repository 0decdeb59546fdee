"""A repair from names: record, data and subject as the command line and Python give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.data.read import read_pairs
from pm_audit.data.sampling import Sample
from pm_audit.errors import AuditError
from pm_audit.loading.recipe_folder import recipe_folder
from pm_audit.pipelines import project
from pm_audit.pipelines.given import ONE_AT_A_TIME, loaded_subject, path_of, reporter, settings_of
from pm_audit.records import AuditRecord
from pm_audit.records.repair import Level, RepairRecord
from pm_audit.spec import Settings

if TYPE_CHECKING:
    from pm_audit.data.pair import PairSet
    from pm_audit.pipelines.given import Pm, Saes
    from pm_audit.subject.preference_model import PreferenceModel
    from pm_audit.subject.sae import Sae

_OF_RECORD = ("text_format", "text_end", "text_start", "text_date", "objective", "dtype")


@dataclass(frozen=True, kw_only=True)
class RepairRequest:
    """What a repair is asked of; the fields of ``RepairOptions`` mean the same here."""

    record: Path | AuditRecord
    data: Path | PairSet
    choose: Path | PairSet | None = None
    """Other preferences to choose by."""
    by: str | None = None
    targets: tuple[str, ...] = ()
    hypotheses: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    """All for none."""
    singles: int = 4
    directions: bool = False
    contrasts: tuple[str, ...] = ()
    max_tokens: int | None = None
    """Longest text that is read."""
    sample: int = 0
    """Pairs to draw of each file; 0 for all."""
    seed: int = 0
    export: Path | None = None
    """Folder to write the repair to."""
    pick: str | None = None
    """Repair to export, as the table names it; by default the first that helps."""
    base: str | None = None
    """Base that an exported adapter names."""


def run_repair(
    request: RepairRequest,
    named: Mapping[str, Any],
    root: Path,
    *,
    subject: tuple[PreferenceModel, tuple[Sae, ...]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[RepairRecord, tuple[str, ...]]:
    """Run a repair; return its record, and a line for each file that its export wrote.

    Args:
        request: what is asked.
        named: settings of the subject; those that are not given are the record's.
        root: the project's folder, with the hypotheses of the record.
        subject: a loaded PM and its SAEs, in place of those named.
        progress: receives a sentence at each step.

    Raises:
        AuditError: as of ``repair``, a level is unknown, or the export is refused.

    """
    record = request.record
    record = record if isinstance(record, AuditRecord) else AuditRecord.read(record)
    unknown = [one for one in request.levels if one not in list(Level)]
    if unknown:
        raise AuditError(f"level {unknown[0]!r} is unknown; choose of {', '.join(Level)}")
    data = _pairs(request.data, request)
    choose = None if request.choose is None else _pairs(request.choose, request)

    # imported late: a wrong record or file is refused before torch is imported
    from pm_audit.loading.subject import load_subject
    from pm_audit.pipelines.repairing.candidates import RepairOptions
    from pm_audit.pipelines.repairing.repair import repair

    found = repair(
        record,
        data,
        subject or load_subject(_settings(record, named)),
        root=root,
        choose=choose,
        options=RepairOptions(
            by=request.by,
            hypotheses=request.hypotheses,
            levels=tuple(map(Level, request.levels)) or tuple(Level),
            singles=request.singles,
            directions=request.directions,
            targets=request.targets,
            contrasts=request.contrasts,
            most_tokens=request.max_tokens,
            seed=request.seed,
        ),
        progress=progress,
    )
    if request.export is None or (found.record.best is None and request.pick is None):
        return found.record, _refused(request)
    from pm_audit.pipelines.repairing.export import export

    lines = export(found, request.export, name=request.pick, base=request.base)
    return found.record, lines


def repair(
    record: AuditRecord | str | Path,
    data: PairSet | str | Path,
    pm: Pm | None = None,
    sae: Saes | None = None,
    *,
    choose: PairSet | str | Path | None = None,
    root: str | Path | None = None,
    progress: Callable[[str], None] | bool = False,
    export: str | Path | None = None,
    **options: Any,  # noqa: ANN401 - fields of RepairRequest
) -> RepairRecord:
    """Return what repairing a PM by an audit's verified features does to preference accuracy.

    Args:
        record: the audit, or its file.
        data: preferences on which repairs are judged: a file, or what ``read_pairs`` returned.
        pm: by default the record's.
        sae: by default the record's.
        choose: other preferences to choose by; by default those of half of the prompts of ``data``.
        root: the project's folder, with the hypotheses of the record; by default found as pytest
            finds it.
        progress: receives a sentence at each step; True writes them to stderr.
        export: folder to which the repair that helps is written.
        options: fields of ``RepairRequest``, such as ``by``, the column that names subsets.

    Raises:
        AuditError: the record is not of this subject, nothing in it is verified, no pair can be
            read, or the export is refused.

    """
    known = [one.name for one in fields(RepairRequest)]
    if strange := [name for name in options if name not in known]:
        raise AuditError(f"{strange[0]!r} is no option of a repair; give any of {', '.join(known)}")
    paths = {"record": record, "data": data, "choose": choose, "export": export}
    given: dict[str, Any] = options | {
        name: path_of(name, one) if isinstance(one, str | Path) else one
        for name, one in paths.items()
    }
    request = RepairRequest(**given)
    place = project.find_root() if root is None else path_of("root", root).absolute()
    named = settings_of(pm, sae, {})
    with ONE_AT_A_TIME:
        loaded = None
        if len(named) < (pm is not None) + (sae is not None):
            some = loaded_subject(pm, sae, Settings.merged(python=named))
            if some is not None:
                from pm_audit.loading.subject import only

                loaded = only(some[0]), tuple(some[1])
        report = reporter(progress)
        return run_repair(request, named, place, subject=loaded, progress=report)[0]


def _refused(request: RepairRequest) -> tuple[str, ...]:
    if request.export is None:
        return ()
    return ("nothing was exported: no verified set helps; --pick NAME exports one all the same",)


def _pairs(given: Path | PairSet, request: RepairRequest) -> PairSet:
    if not isinstance(given, Path):
        return given
    sample = None
    if request.sample:
        sample = Sample(size=request.sample, seed=request.seed, by=request.by)
    return read_pairs(given, sample=sample)


def _settings(record: AuditRecord, named: Mapping[str, Any]) -> Settings:
    """Return settings that load the subject of a record, but for what is named."""
    given = {name: value for name, value in named.items() if value not in (None, ())}
    audited = record.subject
    known: dict[str, Any] = {name: getattr(audited, name) for name in _OF_RECORD}
    pm = given.get("pm", audited.pm)
    if recipe_folder(pm) is not None:
        known |= {"saes": tuple(sae.name for sae in audited.saes)}
    return Settings.merged(cli={"pm": pm} | known | given)
