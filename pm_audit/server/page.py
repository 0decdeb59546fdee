"""An explanation as the page shows it: rewards, the parts of their difference, and the features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pm_audit.forward.scale import Scale
from pm_audit.pipelines.explain import Explanation, FeatureChange
from pm_audit.report import figures
from pm_audit.report.feature_words import with_label
from pm_audit.report.html.difference import Part, shortened
from pm_audit.report.html.heatmap import HeatLine, heatmaps
from pm_audit.report.html.page import Assets
from pm_audit.server.form import Form

ASSETS = Assets(
    styles=("style.css", "text_box.css"),
    script="text_box.js",
    allowed="form-action 'self'; connect-src 'self'",
)

_STATES = {
    "gained": "active on B alone",
    "lost": "active on A alone",
    "kept": "active on both",
}


@dataclass(frozen=True)
class Facts:
    """What is the same on every page."""

    pm: str
    sae: str
    scale: Scale
    top: int
    """Features that are shown one by one."""


class Side(NamedTuple):
    """One completion."""

    name: str
    reward: float
    parts: tuple[Part, ...]
    """Cut around what differs from the other."""


class Share(NamedTuple):
    """One row of the table whose rows sum to the difference of the rewards."""

    name: str
    value: float


class Card(NamedTuple):
    """One feature."""

    name: str
    change: FeatureChange
    heat: tuple[tuple[str, HeatLine | None], ...]
    """By completion, on one scale; None if it is not active there."""


def render(facts: Facts, form: Form, found: Explanation | None = None, *, problem: str = "") -> str:
    """Return the page: the form as it was sent and, below it, the explanation or the problem."""
    return ASSETS.page(
        "text_box.html.j2",
        facts=facts,
        form=form,
        problem=problem,
        found=found,
        view=None if found is None else _view(found, facts),
        in_sigma=lambda reward: figures.signed(reward / facts.scale.sigma, 3),
    )


def _view(found: Explanation, facts: Facts) -> dict[str, object]:
    changed = [one for one in found.features if abs(one.change) > facts.scale.noise]
    return {
        "lead": _lead(found, facts.scale),
        "sides": _sides(found),
        "shares": tuple(_shares(found)),
        "cards": [_card(one) for one in changed[: facts.top]],
        "changed": len(changed),
        "states": _STATES,
    }


def _lead(found: Explanation, scale: Scale) -> str:
    size = abs(found.difference)
    if size <= scale.noise:
        return f"Both completions have the same reward, to the PM's noise of {scale.noise:.2g}."
    better, worse = "BA" if found.difference > 0 else "AB"
    return (
        f"The PM prefers {better}: its reward is {figures.unsigned(size / scale.sigma)} sigma "
        f"({figures.unsigned(size)}) above that of {worse}."
    )


def _sides(found: Explanation) -> tuple[Side, Side]:
    a, b = found.completion_a, found.completion_b
    return Side("A", found.reward_a, shortened(a, b)), Side("B", found.reward_b, shortened(b, a))


def _shares(found: Explanation) -> Iterator[Share]:
    for state, meaning in _STATES.items():
        own = [one.change for one in found.features if one.state == state]
        plural = "" if len(own) == 1 else "s"
        yield Share(f"{len(own)} feature{plural} {state}: {meaning}", sum(own))
    yield Share("overlap of features", found.overlap)
    yield Share("error term of the SAE", found.error_term)
    yield Share("remainder", found.remainder)


def _card(change: FeatureChange) -> Card:
    firings = {"A": change.firing_a, "B": change.firing_b}
    active = {name: firing for name, firing in firings.items() if firing is not None}
    lines = dict(zip(active, heatmaps(tuple(active.values())), strict=True))
    heat = tuple((name, lines.get(name)) for name in firings)
    return Card(with_label(change.feature, change.label), change, heat)
