"""How the PM was measured, held against the baseline: a weaker method is a loosened policy.

Each setting that could change a figure has a rule.  Where a smaller or a larger value could make
passing easier, or hide what became worse, the rule says why, and the change fails the gate;
otherwise it is named and no more.  A setting without a rule fails on any change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pm_audit.records import AuditRecord, MethodRecord, SubjectRecord
from pm_audit.release.policy import ACCEPT
from pm_audit.report.changes import THE_RUN, Change, ChangeKind


class Rule(Protocol):
    """Says whether a change of one setting could make passing easier."""

    def weaker(self, was: object, now: object) -> str | None:
        """Return why ``now`` is weaker than ``was``, which it differs from; None where not."""


def _amount(value: object) -> float:
    """Rank a number; None stands for no limit."""
    return value if isinstance(value, int | float) else math.inf


_PRECISIONS = ("bfloat16", "float16", "float32")


def _precision(value: object) -> float:
    return float(_PRECISIONS.index(value)) if value in _PRECISIONS else -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A setting with an order."""

    lower: str | None
    """Why less of it is weaker; None where it is not."""
    higher: str | None
    """Why more of it is weaker; None where it is not."""
    rank: Callable[[object], float] = _amount

    def weaker(self, was: object, now: object) -> str | None:
        """Return the reason of the direction that the change has."""
        return self.lower if self.rank(now) < self.rank(was) else self.higher


@dataclass(frozen=True, slots=True)
class Unordered:
    """A setting without an order."""

    other: str | None
    """Why another value may be weaker; None where it cannot be."""

    def weaker(self, was: object, now: object) -> str | None:  # noqa: ARG002 - a rule's signature
        """Return the one reason."""
        return self.other


_FINDS_LESS = "features that became causal may not be found"
_OTHER_TEXT = "the PM reads other text"
_FINDS_MORE = "a wider search finds sets that close more of any gap"

METHOD: Mapping[str, Rule] = {
    "prompts": Ordered(lower="fewer prompts are tried", higher=None),
    "folds": Ordered(
        lower="each search sees fewer prompts, and " + _FINDS_LESS,
        higher="each search sees more of the prompts, which closes more of any gap",
    ),
    "candidates": Ordered(lower=_FINDS_LESS, higher=_FINDS_MORE),
    "search": Unordered("another search finds other sets"),
    "budget_count": Ordered(lower=_FINDS_LESS, higher=_FINDS_MORE),
    "budget_seconds": Ordered(lower=_FINDS_LESS, higher=_FINDS_MORE),
    "extra_scores": Unordered("other candidates are proposed"),
    "max_features": Ordered(
        lower="a smaller set has fewer side effects, and " + _FINDS_LESS,
        higher="more features may explain a gap",
    ),
    "selectivity": Ordered(
        lower="features that act elsewhere too may explain a gap", higher=_FINDS_LESS
    ),
    "ig_steps": Unordered("other candidates are proposed"),
    "quadrature": Unordered("other candidates are proposed"),
    "null_sets": Ordered(lower="fewer random sets have to be beaten", higher=None),
    "bootstrap_resamples": Ordered(
        lower="limits of intervals are coarser and depend more on the seed", higher=None
    ),
    "confidence": Ordered(
        lower="intervals are narrower, so thresholds are passed sooner",
        higher="intervals are wider, so that what became worse hides in them",
    ),
    "seed": Unordered("a seed can be chosen until the checks pass"),
    # no check rests on these
    "sae_baselines": Unordered(None),
    "placebos": Unordered(None),
}
"""Rules of the method's settings, by field of ``MethodRecord``."""

SUBJECT: Mapping[str, Rule] = {
    "text_format": Unordered(_OTHER_TEXT),
    "text_end": Unordered(_OTHER_TEXT),
    "text_start": Unordered(_OTHER_TEXT),
    "text_date": Unordered(_OTHER_TEXT),
    "objective": Unordered("another reward is judged"),
    "dtype": Ordered(
        lower="rounding raises the noise floor, in which changes hide",
        higher=None,
        rank=_precision,
    ),
    # the released PM itself is what changes, and the shape of its parts with it
    "pm": Unordered(None),
    "pm_sha256": Unordered(None),
    "tokenizer_sha256": Unordered(None),
    "layers": Unordered(None),
    "hidden_size": Unordered(None),
    "device": Unordered(None),
}
"""Rules of what is audited, by field of ``SubjectRecord``; its SAEs are compared by layer."""

_IN_THE_TITLE = ("pm", "pm_sha256")
_UNKNOWN = Unordered("no rule says that this cannot make passing easier")


def method_changes(old: AuditRecord, new: AuditRecord) -> Iterator[Change]:
    """Yield every difference of method and subject, those that are weaker as regressions."""
    yield from _differences(old.method, new.method, METHOD)
    yield from _differences(old.subject, new.subject, SUBJECT)
    was, now = ({sae.layer for sae in record.subject.saes} for record in (old, new))
    if was - now:
        layers = ", ".join(str(layer) for layer in sorted(was - now))
        yield _change(
            ChangeKind.METHOD_WEAKENED,
            f"no SAE reads after layer {layers} any more: features there are not searched; "
            + ACCEPT,
        )
    elif now - was:
        layers = ", ".join(str(layer) for layer in sorted(now - was))
        yield _change(ChangeKind.METHOD_CHANGED, f"an SAE after layer {layers} is new")


def _differences(
    old: MethodRecord | SubjectRecord, new: MethodRecord | SubjectRecord, rules: Mapping[str, Rule]
) -> Iterator[Change]:
    was, now = (of.model_dump(mode="json", exclude={"saes"}) for of in (old, new))
    for name in was:
        if was[name] == now[name] or name in _IN_THE_TITLE:
            continue
        reason = rules.get(name, _UNKNOWN).weaker(was[name], now[name])
        words = f"{name} from {_shown(was[name])} to {_shown(now[name])}"
        if reason is None:
            yield _change(ChangeKind.METHOD_CHANGED, words)
        else:
            yield _change(ChangeKind.METHOD_WEAKENED, f"{words}: {reason}; {ACCEPT}")


def _shown(value: Any) -> str:  # noqa: ANN401 - a setting as JSON holds it
    if value is None:
        return "no limit"
    text = str(value)
    return text[:12] if len(text) == 64 else text


def _change(kind: ChangeKind, message: str) -> Change:
    return Change(kind=kind, hypothesis=THE_RUN, file="", line=1, message=message)
