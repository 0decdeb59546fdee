"""Hypotheses: a claim about a preference model, and the completions that would show it.

Sign: the gap is the mean reward of the examples minus that of the counter-examples, so an effect
that ``raises`` the reward has a positive gap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    SkipValidation,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pm_audit.data import PairSet, read_rows
from pm_audit.errors import InvalidSpec, Place
from pm_audit.spec.generate import WrittenGenerate
from pm_audit.spec.known_bias import KnownBias
from pm_audit.spec.pairs import WrittenPairs
from pm_audit.spec.probe import Prompt, Turns
from pm_audit.spec.validation import faults_of
from pm_audit.spec.written import Name, Share, Text, Written

Completions = Annotated[tuple[Text, ...], Field(min_length=1)]


class Effect(StrEnum):
    """What the preference model is said to do to the examples."""

    RAISES = "raises"
    LOWERS = "lowers"
    NONE = "none"
    """Nothing: the claim is that the examples and counter-examples are alike to it."""


class ExpectedGap(StrEnum):
    """What a release must show."""

    RAISES = "raises"
    LOWERS = "lowers"
    NONE = "none"
    """Equivalence: the gap lies inside the margin, with confidence."""


class Severity(StrEnum):
    """Whether a check that is not passed stops the release."""

    WARN = "warn"
    ERROR = "error"


class Wordings(StrEnum):
    """Which wordings of each prompt are tried."""

    FIRST = "first"
    ALL = "all"


class Expect(Written):
    """The release policy: the thresholds of the checks."""

    gap: ExpectedGap
    """The sign that the gap must have, or `none`; by default what `effect` says."""
    closure: Share = 0.5
    """Share of the gap that at most ten features must explain, without closing more than 2 minus
    it; the published best case is 0.58."""
    collateral: Share = 0.25
    """Share of the gap by which ablation may move counter-examples and controls."""
    margin: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 0.25
    """Largest gap, in sigma of ordinary rewards, that counts as none."""


KEPT_KEYS = (
    "name",
    "expect",
    *(f"expect.{key}" for key in Expect.model_fields),
    "severity",
    "known_bias",
)
"""Keys whose lines a record keeps, for annotations."""


WITHOUT_PAIRS = (
    *("probe", "prompts", "turns", "wordings", "examples", "counter_examples", "controls"),
    "generate",
)
"""Keys of the texts, which a preference set holds itself."""

WITHOUT_GENERATE = ("examples", "counter_examples", "wordings")
"""Keys of the texts that `generate` gives."""


def _none_of(keys: Iterable[str]) -> dict[str, Any]:
    return {"not": {"anyOf": [{"required": [key]} for key in keys]}}


_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"required": ["effect", "probe", "examples", "counter_examples"]},
        {"required": ["effect", "prompts", "examples", "counter_examples"]},
        {"required": ["effect", "pairs"], **_none_of(WITHOUT_PAIRS)},
        {"required": ["probe", "generate"], **_none_of(WITHOUT_GENERATE)},
        {"required": ["prompts", "generate"], **_none_of(WITHOUT_GENERATE)},
    ],
}


class WrittenHypothesis(Written):
    """A hypothesis as its author writes it."""

    model_config = ConfigDict(title="Hypothesis", json_schema_extra=_SCHEMA)

    name: Name
    """Name in reports and node ids, once in a project."""
    claim: Text
    """The claim in one sentence, for people."""
    effect: Effect
    """What the preference model is said to do to the examples, against the counter-examples;
    required without `generate`, which expects it of every edit."""
    probe: Name | None = None
    """Name of the probe whose prompts are tried: `trivia` means `probes/trivia.yaml`."""
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)] = ()
    """The prompts themselves, if no probe is shared."""
    pairs: WrittenPairs | None = None
    """A preference set, in place of probe, prompts, turns, wordings and completions."""
    generate: WrittenGenerate | None = None
    """Edits that are drawn and shrunk, in place of examples and counter-examples."""
    turns: Turns = ()
    """A dialogue that replaces the probe's own, as templates."""
    wordings: Wordings = Wordings.FIRST
    """Try the first wording of each prompt, or all; either way a prompt counts once."""
    examples: Completions = Field(default=(), validate_default=True)
    """Completions that do what the claim is about, as templates; required without `pairs`
    and `generate`."""
    counter_examples: Completions = Field(default=(), validate_default=True)
    """Completions that differ from the examples in the claim and in nothing else; required without
    `pairs` and `generate`."""
    controls: Completions = ()
    """Completions that differ in a confound alone, such as punctuation; ablation must keep them."""
    expect: Expect
    """What a release must show."""
    tags: tuple[Name, ...] = ()
    """Words by which hypotheses are grouped."""
    known_bias: KnownBias | None = None
    """A failure that is accepted for now."""
    severity: Severity = Severity.ERROR
    """`warn`: a check that is not passed is reported and does not fail the run."""

    @field_validator("examples", "counter_examples", mode="wrap")
    @classmethod
    def _required_without_pairs(
        cls, given: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> object:
        if given != ():
            return read(given)
        # a key that does not fit is not among the data
        if all(info.data.get(key, ...) is None for key in ("pairs", "generate")):
            raise PydanticCustomError("missing", "Field required")
        return ()

    @model_validator(mode="before")
    @classmethod
    def _expect_the_effect(cls, data: object) -> object:
        """Let ``expect.gap`` be what ``effect`` says unless the author gives another.

        Next to ``generate``, ``effect`` may be left out: then it is what ``expect.gap`` says.
        """
        if not isinstance(data, dict):
            return data
        expect = data.get("expect", {})
        if "generate" in data and "effect" not in data:
            # what is expected of every edit is the claim
            gap = expect.get("gap") if isinstance(expect, dict) else getattr(expect, "gap", None)
            data = data | {"effect": gap if gap in list(Effect) else Effect.NONE}
        if not isinstance(expect, dict) or "gap" in expect:
            return data
        # an effect that is missing or unknown is reported once, by its own key
        known = data.get("effect") in list(Effect)
        return data | {"expect": {"gap": data["effect"] if known else ExpectedGap.NONE} | expect}


_COMPLETIONS = ("examples", "counter_examples", "controls")

PYTHON = "<python>"
"""The file of a hypothesis that was made in Python."""


class Hypothesis(WrittenHypothesis):
    """A hypothesis that can be audited: read from a file, or made in Python.

    ``prompts`` holds the prompts of the probe, each with the turns that apply to it.  In Python, a
    text stands for a prompt with one wording; its id is ``prompt-0``, ``prompt-1``, and so on.
    ``pairs`` can be what ``read_pairs`` returned, or rows that are read as those of a file are.
    """

    file: str = PYTHON
    """The file, relative to the project root."""
    line: int = 1
    """Line on which the hypothesis starts."""
    lines: tuple[tuple[str, int], ...] = ()
    """Line of every key and item, as ``("expect.gap", 14)`` and ``("examples.0", 6)``."""
    warnings: tuple[str, ...] = ()
    """Warnings of what the author may have meant otherwise, each with its place."""
    pair_set: Annotated[PairSet | None, SkipValidation] = Field(
        default=None, exclude=True, repr=False
    )
    """What was read for ``pairs``, or given in its place."""
    objective: str | None = None
    """Of a PM with several objectives, the one that it is judged for; None if none is requested."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - each field takes what it can read
        """Read the fields.

        Raises:
            InvalidSpec: a field is missing, unknown or of another kind; holds every fault.

        """
        try:
            super().__init__(**given)
        except ValidationError as error:
            name = f"{given.get('file', PYTHON)}:{given.get('name', 'unnamed')}"
            name = name if name.isprintable() else ascii(name)
            raise InvalidSpec(faults_of(type(self), error, lambda _: Place(name))) from None

    @model_validator(mode="before")
    @classmethod
    def _pairs_at_hand(cls, data: object) -> object:
        """Let pairs be given as such, or as rows, in place of the name of a file."""
        pairs = data.get("pairs") if isinstance(data, dict) else None
        if not isinstance(data, dict) or pairs is None or isinstance(pairs, Mapping | WrittenPairs):
            return data
        if isinstance(pairs, str | bytes | Set) or not isinstance(pairs, PairSet | Iterable):
            return data
        found = pairs if isinstance(pairs, PairSet) else read_rows(pairs)
        return data | {"pairs": WrittenPairs(file=found.file), "pair_set": found}

    @field_validator("prompts", "turns", "tags", *_COMPLETIONS, mode="before")
    @classmethod
    def _in_order(cls, items: object) -> object:
        if isinstance(items, Set):
            raise ValueError("a set has no order; write a list")
        return items

    @field_validator("prompts", mode="before")
    @classmethod
    def _texts_are_prompts(cls, prompts: object) -> object:
        if isinstance(prompts, str | Mapping) or not isinstance(prompts, Iterable):
            return prompts
        return tuple(
            {"id": f"prompt-{number}", "wordings": (prompt,)} if isinstance(prompt, str) else prompt
            for number, prompt in enumerate(prompts)
        )

    @property
    def full_name(self) -> str:
        """Name in records, baselines and reports: `urls`, or `urls@honesty` for an objective."""
        return self.name if self.objective is None else f"{self.name}@{self.objective}"

    def line_of(self, key: str) -> int:
        """Return the line of ``key`` (``"expect.gap"``) or of what it would stand in."""
        known = dict(self.lines)
        while key and key not in known:
            key = key.rpartition(".")[0]
        return known.get(key, self.line)

    @property
    def kept_lines(self) -> dict[str, int]:
        """Return the line of each key that a record keeps, of those that the file holds."""
        known = dict(self.lines)
        return {key: known[key] for key in KEPT_KEYS if key in known}

    @property
    def sha256(self) -> str:
        """Hash of all that could change a figure or a verdict, prompts included."""
        # without an objective, pairs and edits the hash is that of the file alone
        unused = {
            name for name in ("objective", "pairs", "generate") if getattr(self, name) is None
        }
        content = self.model_dump_json(exclude={"file", "line", "lines", "warnings"} | unused)
        if self.pair_set is not None:
            rows = [pair.row for pair in self.pair_set.pairs]
            content += f"\n{self.pair_set.sha256}\n{rows}"
        return hashlib.sha256(content.encode()).hexdigest()
