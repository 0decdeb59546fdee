"""A repair from names: record, data and subject as the command line and Python give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.data.read import read_pairs
from pm_audit.data.sampling import Sample
from pm_audit.errors import AuditError
from pm_audit.loading.recipe_folder import recipe_folder
from pm_audit.records import AuditRecord
from pm_audit.records.repair import Level, RepairRecord
from pm_audit.spec import Settings

if TYPE_CHECKING:
    from pm_audit.data.pair import PairSet
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
    from pm_audit.pipelines.repairing.repair import RepairOptions, repair

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
