"""A repair from names: record, data and subject as the command line and Python give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.data.read import read_pairs
from pm_audit.data.sampling import Sample
from pm_audit.errors import AuditError
from pm_audit.loading.judges.names import own_folder
from pm_audit.pipelines import project
from pm_audit.pipelines.given import (
    ONE_AT_A_TIME,
    loaded_subject,
    path_of,
    reporter,
    settings_of,
)
from pm_audit.pipelines.repairing.options import RepairOptions
from pm_audit.records import AuditRecord, require_writable
from pm_audit.records.repair import RepairRecord
from pm_audit.spec import Settings

if TYPE_CHECKING:
    from pm_audit.data.pair import PairSet
    from pm_audit.pipelines.given import Pm, Saes

_OF_RECORD = (
    *("text_format", "text_end", "text_start", "text_date", "judge_template", "judge_verdicts"),
    *("objective", "dtype"),
)


def run_repair(
    record: AuditRecord | str | Path,
    data: PairSet | str | Path,
    options: RepairOptions,
    *,
    pm: Pm | None = None,
    sae: Saes | None = None,
    choose: PairSet | str | Path | None = None,
    export: str | Path | None = None,
    root: Path | None = None,
    progress: Callable[[str], None] | None = None,
    **settings: Any,  # noqa: ANN401 - settings of the subject
) -> tuple[RepairRecord, tuple[str, ...]]:
    """Run a repair; return its record, and a line for each file that its export wrote.

    The arguments are those of ``repair`` and the settings of a subject; settings that are not
    given are the record's.
    """
    if not isinstance(record, AuditRecord):
        record = AuditRecord.read(path_of("record", record))
    for name in ("pick", "base"):
        if export is None and getattr(options, name) is not None:
            raise AuditError(f"{name} says what is exported, and nothing is; give export too")
    if export is not None:
        require_writable(path_of("export", export) / "edit.json")
    judged = _pairs("data", data, options)
    chosen = None if choose is None else _pairs("choose", choose, options)
    named = _settings(record, settings_of(pm, sae, settings))
    with ONE_AT_A_TIME:
        # a wrong record, file or name is refused before torch is imported
        given = loaded_subject(pm, sae, named)
        from pm_audit.loading.subject import load_subject, only
        from pm_audit.pipelines.repairing.export import export as write
        from pm_audit.pipelines.repairing.repair import repair as run

        subject = load_subject(named) if given is None else (only(given[0]), given[1])
        found = run(
            record,
            judged,
            subject,
            root=root or project.find_root(),
            choose=chosen,
            options=options,
            progress=progress,
        )
        if export is None:
            return found.record, ()
        if found.record.best is None and options.pick is None:
            return found.record, ("nothing was exported, because no verified set helps",)
        folder = path_of("export", export)
        return found.record, write(found, folder, name=options.pick, base=options.base)


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
    **options: Any,  # noqa: ANN401 - fields of RepairOptions
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
        options: fields of ``RepairOptions``, such as ``by``, the column that names subsets.

    Raises:
        AuditError: the record is not of this subject, nothing in it is verified, no pair can be
            read, an option is unknown, or the export is refused.

    """
    return run_repair(
        record,
        data,
        RepairOptions.of(**options),
        pm=pm,
        sae=sae,
        choose=choose,
        export=export,
        root=None if root is None else path_of("root", root).absolute(),
        progress=reporter(progress),
    )[0]


def _pairs(what: str, given: PairSet | str | Path, options: RepairOptions) -> PairSet:
    if not isinstance(given, str | Path):
        return given
    size = options.sample
    sample = Sample(size=size, seed=options.seed, by=options.by) if size else None
    return read_pairs(path_of(what, given), sample=sample)


def _settings(record: AuditRecord, named: Mapping[str, Any]) -> Settings:
    """Return settings that load the subject of a record, but for what is named."""
    given = {name: value for name, value in named.items() if value not in (None, ())}
    audited = record.subject
    known: dict[str, Any] = {name: getattr(audited, name) for name in _OF_RECORD}
    known["pm"] = given.get("pm", audited.pm)
    if own_folder(known["pm"]) is not None:
        known["saes"] = tuple(sae.name for sae in audited.saes)
    return Settings.merged(cli=known | given)
