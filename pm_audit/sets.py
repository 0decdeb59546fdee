"""Preference sets from Python: the functions of ``import pm_audit`` that read pairs.

As in ``api``, a subject is named or given as loaded objects, and torch is imported when it is
loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.errors import AuditError
from pm_audit.loading.judges.names import own_saes
from pm_audit.pipelines.given import (
    OF_A_PM,
    OF_A_PROPOSAL,
    OF_A_SCAN,
    ONE_AT_A_TIME,
    each,
    known_only,
    loaded_subject,
    one_of,
    path_of,
    reporter,
    require_pm,
    settings_of,
)
from pm_audit.pipelines.project import find_root
from pm_audit.spec import Settings

if TYPE_CHECKING:
    from pm_audit.data import Columns, PairSet
    from pm_audit.drafts.written import Proposal
    from pm_audit.pipelines.given import OneSae, Pm
    from pm_audit.pipelines.scan import ScanSettings, Scores
    from pm_audit.records.diff import DiffRecord
    from pm_audit.records.scan import ScanRecord
    from pm_audit.scanning.engines import Fleet
    from pm_audit.subject.preference_model import PreferenceModel
    from pm_audit.subject.sae import Sae

    Data = str | Path | PairSet | Iterable[Mapping[str, Any]]


def score(
    data: Data,
    pm: Pm = "default",
    *,
    columns: Columns | None = None,
    engine: str = "local",
    workers: int = 1,
    cache: str | Path | None = None,
    progress: Callable[[str], None] | bool = False,
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> Scores:
    """Return the rewards of both sides of every pair of a preference set.

    Args:
        data: a file or folder, rows as dictionaries, or what ``pm_audit.data`` read.
        pm: a name, or what ``load_pm`` returned.
        columns: what the columns are called, if their names do not say it.
        engine: ``local`` or ``ray``.
        workers: processes that run shards, each with the PM loaded; a loaded PM has one.
        cache: folder of finished shards; a run that was killed goes on from them.
        progress: receives a sentence at each shard; True writes them to stderr.
        settings: as of ``load_pm``.

    Raises:
        AuditError: the data or the subject cannot be loaded, or a reward is not finite.

    """
    report = reporter(progress)
    chosen = Settings.merged(python=settings_of(pm, None, known_only(OF_A_PM, settings)))
    pairs = _pairs(data, columns)
    with ONE_AT_A_TIME:
        from pm_audit.pipelines.scan import score as run

        given = None if isinstance(pm, str | Path) else ((require_pm(pm),), ())
        fleet, folder = _fleet(chosen, given, engine, workers, cache, rewards_only=True)
        return run(pairs, fleet, folder, report or (lambda _: None))


def scan(
    data: Data,
    pm: Pm = "default",
    sae: OneSae | None = None,
    *,
    columns: Columns | None = None,
    engine: str = "local",
    workers: int = 1,
    cache: str | Path | None = None,
    progress: Callable[[str], None] | bool = False,
    **settings: Any,  # noqa: ANN401 - fields of Settings and of ScanSettings
) -> ScanRecord:
    """Return the features that move a PM's rewards in a preference set, without a hypothesis.

    Args:
        data: as of ``score``.
        pm: a name, or what ``load_pm`` returned.
        sae: a name, or what ``load_sae`` returned; by default the PM's own.
        columns: as of ``score``.
        engine: as of ``score``.
        workers: as of ``score``.
        cache: as of ``score``.
        progress: as of ``score``.
        settings: as of ``load_pm``, and ``sampler``, ``sample``, ``by``, ``shortest``, ``longest``,
            ``held_out``, ``candidates``, ``ablated``, ``ig_steps``, ``confidence`` and ``seed``.

    Raises:
        AuditError: the data or the subject cannot be loaded, a setting is not as it must be, or a
            number is not finite.

    """
    if len(each(sae)) > 1:
        raise AuditError("scan reads one SAE; call it once for each")
    report = reporter(progress)
    pairs = _pairs(data, columns)
    with ONE_AT_A_TIME:
        from pm_audit.pipelines.scan import scan as run

        how = _how(settings)
        chosen = Settings.merged(python=settings_of(pm, sae, known_only(OF_A_PM, settings)))
        given = loaded_subject(pm, sae, chosen)
        fleet, folder = _fleet(chosen, given, engine, workers, cache)
        return run(pairs, fleet, how, folder, report or (lambda _: None))


def diff(
    old: Pm,
    new: Pm,
    data: Data,
    sae: OneSae | None = None,
    *,
    columns: Columns | None = None,
    workers: int = 1,
    cache: str | Path | None = None,
    progress: Callable[[str], None] | bool = False,
    **settings: Any,  # noqa: ANN401 - fields of Settings and of ScanSettings
) -> DiffRecord:
    """Return the features through which one PM rewards texts otherwise than another of its body.

    Args:
        old: the PM before: a name, or what ``load_pm`` returned.
        new: the PM after.
        data: as of ``score``.
        sae: the SAE that reads both; by default the old PM's own, or else the new one's.
        columns: as of ``score``.
        workers: as of ``score``.
        cache: as of ``score``.
        progress: as of ``score``.
        settings: as of ``load_pm``, and those of a scan.

    Raises:
        AuditError: the PMs are not of one body, one of them, the SAE or the data cannot be loaded,
            a setting is not as it must be, or a number is not finite.

    """
    if len(each(sae)) > 1:
        raise AuditError("diff reads both PMs with one SAE; call it once for each")
    report = reporter(progress)
    pairs = _pairs(data, columns)
    if sae is None or isinstance(sae, str):
        named = () if sae is None else (sae,)
        owners = (pm for pm in (old, new) if isinstance(pm, str | Path) and own_saes(pm))
        sae = next((own_saes(pm, named)[0] for pm in owners), sae)
    with ONE_AT_A_TIME:
        from pm_audit.pipelines.diff import diff as run

        how, rest = _how(settings), known_only(OF_A_PM, settings)
        fleets = []
        for pm in (old, new):
            chosen = Settings.merged(python=settings_of(pm, sae, rest))
            fleet, folder = _fleet(chosen, loaded_subject(pm, sae, chosen), "local", workers, cache)
            fleets.append(fleet)
        return run(pairs, fleets[0], fleets[1], how, folder, report or (lambda _: None))


def propose(
    scanned: ScanRecord | str | Path,
    data: Data,
    pm: Pm = "default",
    sae: OneSae | None = None,
    *,
    columns: Columns | None = None,
    folder: str | Path | None = None,
    name_command: str | None = None,
    progress: Callable[[str], None] | bool = False,
    **settings: Any,  # noqa: ANN401 - fields of Settings and of ProposeSettings
) -> Proposal:
    """Return draft hypotheses for the strongest groups of a scan, each checked on other prompts.

    Args:
        scanned: what ``scan`` returned, or the file of a record.
        data: what was scanned, as of ``score``.
        pm: the PM that was scanned.
        sae: the SAE that was scanned; by default the PM's own of its name.
        columns: as of ``score``.
        folder: where a YAML file is written for each draft that holds; by default nowhere.
        name_command: a program that gives drafts other names and claims.
        progress: receives a sentence at each step; True writes them to stderr.
        settings: as of ``load_pm``, and ``groups``, ``drafts``, ``prompts`` and ``seed``.

    Raises:
        AuditError: data, PM or SAE are not those of the scan, a setting is not as it must be, or
            a file cannot be written.

    """
    report = reporter(progress)
    pairs = _pairs(data, columns)
    own = {name: settings.pop(name) for name in OF_A_PROPOSAL & settings.keys()}
    chosen = Settings.merged(python=settings_of(pm, sae, known_only(OF_A_PM, settings)))
    root = find_root()
    with ONE_AT_A_TIME:
        from pm_audit.drafts.written import write_drafts
        from pm_audit.loading.subject import load_subjects, only
        from pm_audit.pipelines import propose as pipeline
        from pm_audit.pipelines.name_command import renamed
        from pm_audit.records.scan import ScanRecord
        from pm_audit.scanning.task import chosen_sae

        if isinstance(scanned, str | Path):
            record, place = ScanRecord.read(path_of("scanned", scanned)), str(scanned)
        else:
            record, place = scanned, "SCAN"
        how = pipeline.ProposeSettings(**own)
        pms, saes = loaded_subject(pm, sae, chosen) or load_subjects(chosen)
        found = pipeline.propose(
            record,
            pairs,
            only(pms),
            saes[0] if sae is not None else chosen_sae(tuple(saes), record.subject.saes[0].name),
            how,
            report or (lambda _: None),
        )
        if name_command is not None:
            found = renamed(found, name_command, root=root)
        if folder is not None:
            kept = [draft for draft in found.drafts if draft.holds]
            write_drafts(kept, path_of("folder", folder), root=root, scan=place)
        return found


def _how(settings: dict[str, Any]) -> ScanSettings:
    """Take the settings of a scan out of those that were given."""
    from pm_audit.pipelines.scan import ScanSettings
    from pm_audit.scanning.sampler import Sampler

    own = {name: settings.pop(name) for name in OF_A_SCAN & settings.keys()}
    if "sampler" in own:
        own["sampler"] = one_of(Sampler, "sampler", own["sampler"])
    return ScanSettings(**own)


def _pairs(data: Data, columns: Columns | None) -> PairSet:
    """Return a preference set that is named, given as rows, or read already."""
    from pm_audit.data import PairSet, read_pairs, read_rows

    if isinstance(data, PairSet):
        return data
    if isinstance(data, str | Path):
        return read_pairs(path_of("data", data), columns)
    if not isinstance(data, Iterable) or isinstance(data, Mapping):
        raise AuditError(f"data must be a path or a list of rows, not {type(data).__name__}")
    return read_rows(data, columns)


def _fleet(
    settings: Settings,
    given: tuple[Sequence[PreferenceModel], Sequence[Sae]] | None,
    engine: str,
    workers: int,
    cache: str | Path | None,
    *,
    rewards_only: bool = False,
) -> tuple[Fleet, Path]:
    """Return the workers with their subject, and the folder of finished shards."""
    from pm_audit.loading.wheels import cache_folder
    from pm_audit.scanning.engines import EngineName, Fleet
    from pm_audit.scanning.task import Loader

    folder = cache_folder() / "scans" if cache is None else path_of("cache", cache)
    name = one_of(EngineName, "engine", engine)
    loader = Loader(settings, rewards_only=rewards_only)
    return Fleet.of(loader, given, engine=name, workers=workers), folder
