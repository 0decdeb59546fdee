"""How the PM was measured, compared with the baseline: a weaker method is a looser policy.

Each setting that could change a figure has a rule.  If a smaller or a larger value could make
passing easier, or hide what became worse, the rule says why, and the change fails the gate;
otherwise it is only named.  A setting without a rule fails on any change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pm_audit.records import AuditRecord, MethodRecord, SubjectRecord
from pm_audit.release.policy import ACCEPT
from pm_audit.report.changes import THE_RUN, Change, ChangeKind


def _amount(value: object) -> float:
    return value if isinstance(value, int | float) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which changes of one setting could make passing easier, and why; None for those that cannot.

    A setting without an order gives one reason for both directions.
    """

    lower: str | None = None
    higher: str | None = None
    rank: Callable[[object], float] = _amount
    """Orders values; of numbers, None stands for no limit."""

    def weaker(self, was: object, now: object) -> str | None:
        """Return why ``now`` is weaker than ``was``, which it differs from; None if it is not."""
        return self.lower if self.rank(now) < self.rank(was) else self.higher


def _either(reason: str) -> Rule:
    return Rule(lower=reason, higher=reason)


_PRECISIONS = ("bfloat16", "float16", "float32", "float64")


def _precision(value: object) -> float:
    return float(_PRECISIONS.index(value)) if value in _PRECISIONS else -1.0


_FINDS_LESS = "features that became causal may not be found"
_FINDS_MORE = "a wider search finds sets that close more of any gap"

METHOD: Mapping[str, Rule] = {
    "prompts": Rule(lower="fewer prompts are tried"),
    "searched_prompts": Rule(lower=_FINDS_LESS),
    "folds": Rule(
        lower="each search sees fewer prompts, and " + _FINDS_LESS,
        higher="each search sees more of the prompts, which closes more of any gap",
    ),
    **dict.fromkeys(
        ("candidates", "budget_count", "budget_seconds"),
        Rule(lower=_FINDS_LESS, higher=_FINDS_MORE),
    ),
    **dict.fromkeys(("search", "set_search"), _either("another search finds other sets")),
    **dict.fromkeys(
        ("extra_scores", "ig_steps", "quadrature"), _either("other candidates are proposed")
    ),
    "max_features": Rule(
        lower="a smaller set has fewer side effects, and " + _FINDS_LESS,
        higher="more features may explain a gap",
    ),
    "replacement": _either("another replacement gives every figure another meaning"),
    "collateral_penalty": Rule(
        lower="sets that move other completions may explain a gap", higher=_FINDS_LESS
    ),
    "null_sets": Rule(lower="fewer random sets have to be beaten"),
    "bootstrap_resamples": Rule(
        lower="limits of intervals are coarser and depend more on the seed"
    ),
    "confidence": Rule(
        lower="intervals are narrower, so thresholds are passed sooner",
        higher="intervals are wider, so that what became worse hides in them",
    ),
    "seed": _either("a seed can be chosen until the checks pass"),
    # no check rests on these
    **dict.fromkeys(("sae_baselines", "placebos"), Rule()),
}
"""Rules of the method's settings, by field of ``MethodRecord``."""

SUBJECT: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("text_format", "text_end", "text_start", "text_date"), _either("the PM reads other text")
    ),
    **dict.fromkeys(("judge_template", "judge_verdicts"), _either("the judge is asked otherwise")),
    "objective": _either("another reward is judged"),
    "repair": _either("completions are read through another edit"),
    "dtype": Rule(lower="rounding raises the noise floor, in which changes hide", rank=_precision),
    # the released PM itself is what changes, and the shape of its parts with it
    **dict.fromkeys(
        ("pm", "pm_sha256", "tokenizer_sha256", "layers", "hidden_size", "device"), Rule()
    ),
}
"""Rules of what is audited, by field of ``SubjectRecord``; its SAEs are compared by layer."""

_IN_THE_TITLE = ("pm", "pm_sha256")
_UNKNOWN = _either("no rule says that this cannot make passing easier")


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
