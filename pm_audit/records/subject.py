"""What a run audited and how: the PM and its SAEs, and every setting that could change a figure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pm_audit.records.base import Finite, Record


class SaeRecord(Record):
    """One SAE of the subject."""

    name: str
    source: str
    architecture: str
    layer: int
    width: int
    sha256: str


class SubjectRecord(Record):
    """What was audited."""

    pm: str
    pm_sha256: str
    tokenizer_sha256: str
    text_format: str
    text_end: str | None = None
    """How a text ends; None if it ends as the format writes it."""
    text_start: str | None = None
    """How a text begins; None if it begins as the tokenizer begins any."""
    text_date: str | None = None
    """Day that the chat template got for today; None if it writes none."""
    judge_template: str | None = None
    """The rubric of a judge; None for other PMs."""
    judge_verdicts: str | None = None
    """The tokens that answer it, separated by commas."""
    repair: str | None = None
    """What was repaired in the PM, in words; None if nothing was."""
    objective: str | None
    """Of a PM with several: a name, a mixture, or ``all``; each hypothesis names its own."""
    dtype: str
    device: str
    layers: int
    hidden_size: int
    saes: tuple[SaeRecord, ...]

    @property
    def text(self) -> str:
        """The text format and what was set about it, in words."""
        settings = {
            "text_end": self.text_end,
            "text_start": self.text_start,
            "text_date": self.text_date,
            "judge_verdicts": self.judge_verdicts,
        }
        said = (f"{name} {value}" for name, value in settings.items() if value is not None)
        return ", ".join((self.text_format, *said))


class MethodRecord(Record):
    """How it was audited: every setting that could change a figure."""

    prompts: int | None = None
    """Most prompts of a hypothesis that were tried, drawn by the seed; None for all."""
    searched_prompts: int = 200
    """Most prompts of a preference set on which features were searched for and tested, drawn by the
    seed."""
    folds: int
    candidates: int
    max_features: int
    replacement: str
    """What stands in a replaced feature's place."""
    set_search: str
    """How the set is chosen among the candidates: ``growth`` or ``mask``."""
    collateral_penalty: Finite
    """Weight of the collateral next to the residual in the search."""
    ig_steps: int
    quadrature: str
    null_sets: int
    bootstrap_resamples: Annotated[int, Field(ge=100, le=1_000_000)]
    confidence: Annotated[Finite, Field(gt=0, lt=1)]
    seed: Annotated[int, Field(ge=0)]
    sae_baselines: bool = False
    """Whether other ways of explaining each gap were run next to the SAE."""
    placebos: int = 0
    """Searches repeated on exchanged labels."""
    search: str = "attribution"
    """Where candidates came from: ``attribution``, ``budget`` or ``exhaustive``."""
    budget_count: int | None = None
    """Features of a fold and SAE ablated at most; None for another search."""
    budget_seconds: Finite | None = None
    """Wall time of a hypothesis for single ablations; figures then depend on the machine."""
    extra_scores: bool = False
    """Whether GradDrop and per-feature IG proposed candidates too."""
