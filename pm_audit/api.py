"""pm_audit from Python: every function that ``import pm_audit`` gives.

These are the pipelines that pytest and the command line run.  A subject is named, as on the
command line, or given as loaded objects.  Torch is imported when a subject is loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.errors import AuditError
from pm_audit.pipelines.given import (
    OF_A_PM,
    ONE_AT_A_TIME,
    each,
    known_only,
    loaded_subject,
    name_of,
    path_of,
    read_project,
    reporter,
    require_pm,
    settings_of,
)
from pm_audit.pipelines.labels import Labelling
from pm_audit.pipelines.project import for_objectives, objectives_of
from pm_audit.records import AuditRecord, require_ours, require_writable
from pm_audit.spec import Hypothesis, Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pm_audit.pipelines.doctor import DoctorReport
    from pm_audit.pipelines.explain import Explanation
    from pm_audit.pipelines.given import Hypotheses, OneSae, Pm, Saes
    from pm_audit.pipelines.rewards import Prompt, Prompts
    from pm_audit.release import Tolerance
    from pm_audit.report.changes import Comparison
    from pm_audit.report.over_time.history import History
    from pm_audit.subject.preference_model import PreferenceModel
    from pm_audit.subject.sae import Sae


def audit(
    hypotheses: Hypotheses | None = None,
    pm: Pm | None = None,
    sae: Saes | None = None,
    *,
    root: str | Path | None = None,
    progress: Callable[[str], None] | bool = False,
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> AuditRecord:
    """Audit hypotheses on a preference model and return the record.

    The record equals that of ``pytest --pm-audit`` but for time and machine.  Settings that are
    not given come from ``[tool.pm_audit]`` of the project.

    Args:
        hypotheses: files or folders, from the working directory, and ``Hypothesis`` objects; by
            default the project's folder of hypotheses.
        pm: a folder, a Hub name, ``default``, or what ``load_pm`` returned.
        sae: one SAE or several: files, folders, names, or what ``load_sae`` returned.
        root: the project's folder; by default found as pytest finds it.
        progress: receives a sentence at each step; True writes them to stderr.
        settings: fields of ``Settings``; ``record`` names a file that the record is written to.

    Raises:
        InvalidSpec: a hypothesis or a setting is not as it must be; holds every fault.
        AuditError: the subject cannot be loaded, the texts do not fit it, a number is not finite,
            or the record cannot be written to its place.

    """
    report = reporter(progress)
    place, chosen, read = read_project(hypotheses, root, settings_of(pm, sae, settings))
    written_to = None if settings.get("record") is None else place / chosen.record
    if written_to is not None:
        require_writable(written_to)
        require_ours(written_to, chosen.record)
    labelling = Labelling.of(chosen, place)
    for hypothesis in read:
        for warning in hypothesis.warnings:
            warnings.warn(warning, stacklevel=2)
    with ONE_AT_A_TIME:
        subject = loaded_subject(pm, sae, chosen)
        objectives = [one.objective for one in subject[0]] if subject else objectives_of(chosen)
        from pm_audit.pipelines.audit import audit as run

        every = for_objectives(read, objectives)
        record = run(every, chosen, subject=subject, progress=report, labelling=labelling)
    if written_to is not None:
        record.write(written_to)
    return record


def load_hypotheses(
    hypotheses: Hypotheses | None = None,
    *,
    root: str | Path | None = None,
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> tuple[Hypothesis, ...]:
    """Return hypotheses with their prompts, as ``audit`` reads them.

    Raises:
        InvalidSpec: anything wrong in any file; holds every fault.

    """
    return read_project(hypotheses, root, settings)[2]


def load_pm(
    pm: str | Path = "default",
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> PreferenceModel:
    """Load a preference model.

    Args:
        pm: a folder, a Hub name, ``ADAPTER@BASE``, ``default``, or ``judge:`` and a language model.
        settings: ``text_format``, ``text_end``, ``text_start``, ``text_date``,
            ``judge_template``, ``judge_verdicts``, ``repair``, ``objective``, ``dtype`` and
            ``device``, as fields of ``Settings``.

    Raises:
        InvalidSpec: a setting is unknown or of another kind.
        ModelError: the PM cannot be loaded, or has several objectives and none was named.

    """
    chosen = Settings.merged(python=known_only(OF_A_PM, settings) | {"pm": name_of("pm", pm)})
    from pm_audit.loading.subject import only, pms_of

    with ONE_AT_A_TIME:
        return only(pms_of(chosen))


def load_sae(sae: str | Path, *, pm: str | Path = "default", device: str = "cpu") -> Sae:
    """Load a sparse autoencoder.

    Args:
        sae: a file, a folder, ``release/id`` or ``NAME=PATH@LAYER``.
        pm: the PM whose own SAEs may be named by their folder alone, such as ``layer_5``.
        device: where its weights go.

    Raises:
        SaeError: it cannot be loaded.

    """
    names = {"pm": name_of("pm", pm), "saes": (name_of("sae", sae),)}
    chosen = Settings.merged(python=names | {"device": device})
    from pm_audit.loading.subject import saes_of

    return saes_of(chosen, pm_name=chosen.pm)[0]


def rewards(pm: Pm, prompts: Prompts, completions: Iterable[str]) -> npt.NDArray[np.float64]:
    """Return the reward [text] of each completion of its prompt, in float64.

    Each reward equals that of the PM's own library for the same text.

    Args:
        pm: what ``load_pm`` returned, or its name.
        prompts: one for each completion, or one for all: a text, or chat messages
            ``{"role": ..., "content": ...}``.
        completions: answers.  Formats such as ``hh`` need the leading space; ``chat`` and others
            that write their own separator leave out one leading space, as in an audit.

    Raises:
        AuditError: the numbers of prompts and completions differ, one of them cannot be read, a
            text is longer than the PM reads, or a reward is not finite.

    """
    from pm_audit.pipelines.rewards import rewards as read

    with ONE_AT_A_TIME:
        loaded = load_pm(pm) if isinstance(pm, str | Path) else require_pm(pm)
        return read(loaded, prompts, completions)


def explain(
    prompt: Prompt,
    completion_a: str,
    completion_b: str,
    pm: Pm = "default",
    sae: OneSae | None = None,
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> Explanation:
    """Return which features make the PM prefer one completion to the other.

    Args:
        prompt: a text or chat messages.
        completion_a: the answer before the edit; formats such as ``hh`` want a leading space.
        completion_b: the answer after the edit.
        pm: a name, or what ``load_pm`` returned.
        sae: a name, or what ``load_sae`` returned; by default the PM's own.
        settings: as of ``load_pm``.

    Raises:
        AuditError: the subject cannot be loaded, or the texts cannot be read or do not fit it.

    """
    if len(each(sae)) > 1:
        raise AuditError("explain reads one SAE; call it once for each")
    chosen = Settings.merged(python=settings_of(pm, sae, known_only(OF_A_PM, settings)))
    with ONE_AT_A_TIME:
        loaded = loaded_subject(pm, sae, chosen)
        from pm_audit.loading.subject import load_subjects, only
        from pm_audit.pipelines.explain import take_apart
        from pm_audit.pipelines.rewards import dialogue, texts

        turns = dialogue(prompt)
        answers = texts([completion_a, completion_b], "completions")
        pms, saes = loaded or load_subjects(chosen)
        return take_apart(only(pms), saes[0], turns, *answers)


def doctor(
    pm: str | Path = "default",
    sae: Saes = (),
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> DoctorReport:
    """Examine a PM and its SAEs before an audit.

    Args:
        pm: a folder, a Hub name or ``default``, which brings its own SAEs.
        sae: one SAE or several: files, folders or names.
        settings: as of ``load_pm``.

    """
    from pm_audit.pipelines.doctor import doctor as examine

    names = [name_of("sae", one) for one in each(sae)]
    with ONE_AT_A_TIME:
        return examine(name_of("pm", pm), names, **known_only(OF_A_PM, settings))


def read_record(path: str | Path) -> AuditRecord:
    """Return the record that a run wrote.

    Raises:
        RecordError: the file is missing, torn, or of another schema.

    """
    return AuditRecord.read(path_of("path", path))


def read_history(records: Iterable[str | Path] | str | Path) -> History:
    """Return the releases that files of records hold, in the order of their own times.

    Raises:
        RecordError: a file is missing, or none holds a record that can be believed.
        InvalidSpec: notes next to a record cannot be read.

    """
    from pm_audit.release.history import read_history as read

    if isinstance(records, str | Path) or not isinstance(records, Iterable):
        records = (records,)
    return read([path_of("records", one) for one in records])


def compare(
    old: AuditRecord | str | Path,
    new: AuditRecord | str | Path,
    *,
    gate: str = "absolute",
    tolerance: Tolerance | None = None,
) -> Comparison:
    """Return every change from the record ``old`` to ``new``; ``regressed`` says if one is worse.

    A record that is named by its file must follow from its own evidence.

    Args:
        old: the baseline.
        new: the record that is compared with it.
        gate: ``absolute``, or ``regressions``, which excuses a check that the baseline missed too.
        tolerance: how large a change must be to count.

    Raises:
        RecordError: a record is partial, or a file does not hold one that can be believed.

    """
    from pm_audit.release import Tolerance, read_believed
    from pm_audit.release import compare as run

    before, after = (
        one if isinstance(one, AuditRecord) else read_believed(path_of(name, one))
        for name, one in (("old", old), ("new", new))
    )
    if not isinstance(tolerance, Tolerance | None):
        raise AuditError(f"tolerance must be a Tolerance, not {type(tolerance).__name__}")
    mode = Settings.merged(python={"gate": gate}).gate
    return run(before, after, gate=mode, tolerance=tolerance)
