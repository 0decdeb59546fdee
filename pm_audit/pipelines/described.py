"""What was audited and where, as a record names it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence

from pm_audit.loading.repaired import words
from pm_audit.records import SaeRecord, SubjectRecord, versions_of
from pm_audit.spec import ALL_OBJECTIVES
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from pm_audit.subject.stream_edit import StreamEdit
from pm_audit.text.ending import AS_WRITTEN, BOS
from pm_audit.text.rubric import RubricFormat
from pm_audit.text.text_format import TextFormat

_PACKAGES = ("pm-audit", "torch", "transformers", "numpy", "scipy", "tokenizers")
_OF_AN_SAE = ("name", "source", "architecture", "layer", "width", "sha256")


def describe_subject(
    pms: Sequence[PreferenceModel], saes: Sequence[Sae], *, device: str
) -> SubjectRecord:
    """Return what is audited: one PM for each objective, on one body, and the SAEs."""
    pm = pms[0]
    return SubjectRecord(
        pm=pm.name,
        pm_sha256=pm.sha256,
        tokenizer_sha256=_tokenizer_sha256(pm),
        text_format=pm.text_format.name,
        **_text_settings(pm),
        repair=_repair(pm.edits) if pm.edits else None,
        objective=pm.objective if len(pms) == 1 else ALL_OBJECTIVES,
        dtype=str(pm.dtype).removeprefix("torch."),
        device=device,
        layers=pm.depth,
        hidden_size=pm.hidden_size,
        saes=tuple(SaeRecord(**{name: getattr(sae, name) for name in _OF_AN_SAE}) for sae in saes),
    )


def _repair(edits: Sequence[StreamEdit]) -> str:
    """Return what edits do, with a hash: others of the same size are another subject."""
    return f"{words(edits)} ({', '.join(edit.sha256[:12] for edit in edits)})"


def describe_environment() -> dict[str, str]:
    """Return versions and machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        **versions_of(*_PACKAGES),
    }


def _tokenizer_sha256(pm: PreferenceModel) -> str:
    """Return the hash of what turns a dialogue into tokens.

    A plain format that ends as it is written adds nothing to the tokenizer's own rules.
    """
    written: str = pm.tokenizer.backend_tokenizer.to_str()
    form = pm.text_format
    settings = form.settings if isinstance(form, TextFormat) else ""
    return hashlib.sha256("\0".join((written, *filter(None, [settings]))).encode()).hexdigest()


def _text_settings(pm: PreferenceModel) -> dict[str, str | None]:
    """Return the settings of the text other than its format; None for the usual ones."""
    form = pm.text_format
    if not isinstance(form, TextFormat):
        return {}
    rubric = form.rubric if isinstance(form, RubricFormat) else None
    return {
        "judge_template": None if rubric is None else rubric.template,
        "judge_verdicts": None if rubric is None else rubric.written_verdicts,
        "text_end": None if form.end == AS_WRITTEN else form.end,
        "text_start": None if form.start == BOS else form.start,
        "text_date": form.written_day,
    }
