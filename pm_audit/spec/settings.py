"""Settings of a run: what is audited, how, and which files are read and written.

Each setting comes from the first source that gives it: the command line or Python, the table
``[tool.pm_audit]`` of pyproject.toml, the ini options of pytest, and last the defaults below.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from pm_audit.errors import InvalidSpec, Place
from pm_audit.records import MethodRecord
from pm_audit.spec.validation import faults_of
from pm_audit.spec.written import Day, Text, Written


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"a number is meant here, not {str(value).lower()}")
    return value


# The command line and ini options give numbers as text, so text that reads as a number is one.
_Number = BeforeValidator(_no_boolean)
Count = Annotated[int, _Number, Field(ge=1)]
Seconds = Annotated[float, _Number, Field(gt=0, allow_inf_nan=False)]
Proportion = Annotated[float, _Number, Field(gt=0, lt=1, allow_inf_nan=False)]


def _no_blank(value: object) -> object:
    if value == "" or "\0" in str(value):
        raise ValueError("an empty path names nothing; write a path or leave the setting out")
    return value


Location = Annotated[Path, BeforeValidator(_no_blank)]


def _tight(objective: str) -> str:
    """Return a mixture without spaces, as names in records spell it."""
    parts = (part.rpartition("=") for part in objective.split(","))
    return ",".join(f"{name.strip()}{sign}{last.strip()}" for name, sign, last in parts)


Objective = Annotated[Text, AfterValidator(_tight)]


def _separated(value: object) -> object:
    """Return a list of texts as one text, separated by commas."""
    if isinstance(value, list | tuple):
        if not all(isinstance(one, str) for one in value):
            raise ValueError('each verdict is text: put it in quotes, as in ["1", "2", "3"]')
        if any("," in one for one in value):
            raise ValueError("a verdict is one token and holds no comma")
        return ",".join(value)
    return value


Verdicts = Annotated[Text, BeforeValidator(_separated)]

ALL_OBJECTIVES = "all"
"""As an objective: each hypothesis is judged once for every one that the PM has."""


class Dtype(StrEnum):
    """Number format of the PM's body; heads and rewards are always read in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT64 = "float64"


class SearchMode(StrEnum):
    """Where the candidates come from."""

    ATTRIBUTION = "attribution"
    """Attribution proposes them; only these are ablated alone."""
    BUDGET = "budget"
    """The strongest of the features that were ablated alone, in the order of their attribution,
    until the budget ended; random subsets bound what it left out."""
    EXHAUSTIVE = "exhaustive"
    """The strongest of all features that fire on the examples, every one ablated alone."""


class SetSearch(StrEnum):
    """How the set is chosen among the candidates."""

    GROWTH = "growth"
    """One feature after the other, the one that leaves the least, by real ablation."""
    MASK = "mask"
    """Gates over all candidates, learned by gradient descent on real ablations, then hardened."""


class GateMode(StrEnum):
    """What decides the exit status of a run."""

    ABSOLUTE = "absolute"
    """Every check against what its hypothesis expects; with a baseline, regressions fail too."""
    REGRESSIONS = "regressions"
    """The baseline: a check that failed in it, and is not worse now, does not fail the run."""


class Settings(Written):
    """Everything that a run can be given, with its defaults."""

    pm: Text = "default"
    """The preference model: a folder, a Hub name, ADAPTER@BASE, `judge:PATH` or `default`."""
    saes: tuple[Text, ...] = ()
    """Sparse autoencoders of this PM: files, folders or `release/id`; none means the PM's own."""
    text_format: Text | None = None
    """How dialogues become text: `hh`, `raw`, `oasst`, `beaver`, `ultra`, `chat` or `pair`; by
    default what the PM names."""
    text_end: Text | None = None
    """The end of a text, read by heads: `as-written`; `eos`, with the EOS token (TRL's `add_eos`);
    `openrlhf`; or a special token that is appended. By default as the PM names or the format is."""
    text_start: Text | None = None
    """How a text begins: `bos`, once with what the tokenizer begins every text with (the default),
    or `as-written`, without it if a chat template writes none (TRL's `RewardTrainer`)."""
    text_date: Day | None = None
    """Day that a chat template gets for today, never the clock's: by default 2024-07-26."""
    judge_template: Text | None = None
    """Rubric of a judge, with {prompt} and {completion}; by default it asks whether the answer is
    good. In pyproject.toml also `template` of [tool.pm_audit.judge]."""
    judge_verdicts: Verdicts | None = None
    """Tokens after a judge's rubric: of two, such as `Yes,No`, the reward is the first's logit less
    the second's; of three or more numbers, such as `1,2,3,4,5`, their expected value. In
    pyproject.toml also `verdicts` of [tool.pm_audit.judge], as a list."""
    repair: Location | None = None
    """Folder that `pm-audit repair --export` wrote: its edit is applied to the PM's stream."""
    objective: Objective | None = None
    """Which reward of a PM with several: a name, a mixture `name=0.7,name=-0.3`, or `all`."""
    dtype: Dtype = Dtype.FLOAT32
    """Number format of the PM's body: `float32`, `bfloat16`, `float16`, or `float64` to
    check a number."""
    device: Text = "cpu"
    """Where the PM and its SAEs run: `cpu`, `cuda` or `cuda:N`."""

    prompts: Count = 16
    """Most prompts of a hypothesis that are tried, drawn by `seed`; pairs have a `sample` of their
    own."""
    searched_prompts: Count = 200
    """Most prompts of a preference set on which features are searched for and tested, drawn by
    `seed`; the gap is that of all pairs."""
    folds: Annotated[Count, Field(ge=2)] = 2
    """Folds of prompts; each fold is tested with the features that the others selected."""
    candidates: Count = 64
    """Features of a fold, best by attribution, among which its set is searched for."""
    search: SearchMode = SearchMode.ATTRIBUTION
    """Where candidates come from: `attribution`; `budget`, single ablations until a count or time
    is spent; `exhaustive`, single ablation of every feature that fires on the examples."""
    budget_count: Count = 256
    """Features of a fold and SAE that `search: budget` ablates at most."""
    budget_seconds: Seconds | None = None
    """Wall time of a hypothesis after which `search: budget` begins no further ablations."""
    extra_scores: bool = False
    """Let GradDrop, and integrated gradients of single large features, propose candidates too."""
    max_features: Count = 10
    """Largest set of features that may explain a gap."""
    replacement: Text = "contrast"
    """What stands in a feature's place: `contrast`, its mean over the prompt's counter-examples;
    `zero`, `mean` or `resample`. The others are reported alongside."""
    set_search: SetSearch = SetSearch.GROWTH
    """How the set is chosen among the candidates: `growth`, by residual and collateral, a feature
    at a time; or `mask`, learned gates over all of them."""
    collateral_penalty: Annotated[float, _Number, Field(ge=0, le=100)] = 1.0
    """Weight of the squared collateral next to the residual when a set is searched for."""
    ig_steps: Count = 4
    """Steps of integrated gradients."""
    null_sets: Count = 20
    """Matched random sets in a fold that the selected set must beat."""
    sae_baselines: bool = False
    """Try neurons, PCA, linear probes and a learned subspace too; costs as much again."""
    placebos: Annotated[int, _Number, Field(ge=0)] = 0
    """Searches repeated with examples and counter-examples exchanged at random."""
    bootstrap_resamples: Annotated[Count, Field(ge=100, le=1_000_000)] = 2_000
    """Resamples of prompts behind every interval."""
    confidence: Proportion = 0.95
    """Coverage of every interval."""
    seed: Annotated[int, _Number, Field(ge=0, lt=2**63)] = 0
    """Seed of everything that is drawn."""

    hypotheses: Location = Path("hypotheses")
    """Folder of hypotheses, from the project root; audited if no path is named."""
    probes: Location = Path("probes")
    """Folder of probes, from the project root."""
    labels: Location | None = None
    """YAML file of the project's own labels of features; by default `labels.yaml`, if it exists."""
    label_command: Text | None = None
    """Command that labels the selected features, run once when an audit ends, without a shell."""
    label_seconds: Seconds = 600
    """Time that `label_command` may take."""
    record: Location = Path("reports/record.json")
    """Where the record is written."""
    baseline: Location | None = None
    """Record of the last release; a regression against it fails the run."""
    gate: GateMode = GateMode.ABSOLUTE
    """What fails the run: `absolute`, every expectation that is not met; `regressions`, only what
    is worse than the baseline."""

    @classmethod
    def merged(
        cls,
        *,
        cli: Mapping[str, Any] | None = None,
        python: Mapping[str, Any] | None = None,
        project: Mapping[str, Any] | None = None,
        ini: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the settings of all sources; None counts as not given.

        Args:
            cli: what the command line gave.
            python: keyword arguments of a function of ``pm_audit``.
            project: the table ``[tool.pm_audit]`` of pyproject.toml.
            ini: the ini options of pytest, without their prefix ``pm_audit_``.

        Raises:
            InvalidSpec: an unknown setting, or one of another kind, in any source.

        """
        sources = {
            "command line": cli,
            "keyword arguments": python,
            "pyproject.toml": _flat(project),
            "pytest ini options": ini,
        }
        chosen: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for source, values in sources.items():
            for key, value in (values or {}).items():
                if value is not None and key not in chosen:
                    chosen[key], origin[key] = value, source
        try:
            return cls.model_validate(chosen)
        except ValidationError as error:
            place = {name: Place(source) for name, source in origin.items()}
            raise InvalidSpec(
                faults_of(cls, error, lambda detail: place[str(detail["loc"][0])])
            ) from None


def _flat(table: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a project's table with the keys of its table ``judge`` among the others."""
    judge = None if table is None else table.get("judge")
    if table is None or not isinstance(judge, Mapping):
        return table
    others = {key: value for key, value in table.items() if key != "judge"}
    return {f"judge_{key}": value for key, value in judge.items()} | others


def method_of(settings: Settings, *, quadrature: str) -> MethodRecord:
    """Return the settings that could change a figure, as a record holds them.

    Args:
        settings: of a run.
        quadrature: the rule that integrated gradients follow, as attribution names it.

    """
    fields = set(MethodRecord.model_fields)
    if settings.search is not SearchMode.BUDGET:
        fields -= {"budget_count", "budget_seconds"}
    return MethodRecord(quadrature=quadrature, **settings.model_dump(mode="json", include=fields))
