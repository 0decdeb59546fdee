"""The counterfactual diff: which features an edit of a completion gained and lost.

Two completions of one prompt are read, and every latent that is active on either is ablated alone
in each of them, without attribution.  With ``c(i)`` the reward minus the reward with latent i set
to zero, the edit from A to B gains ``c_B(i) - c_A(i)`` by latent i, and

    r(B) - r(A) = sum over features of (c_B - c_A)  +  overlap  +  error term  +  remainder

The overlap is the effect of all features together less the sum of single effects, B minus A:
features that carry the same evidence, or act only together.  The error term is what each reward
loses when the stream is replaced by the SAE's reconstruction.  The remainder is the rest: the
decoder's bias, position and length.

Sign: positive raises the reward of B against A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from pm_audit.errors import SaeError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.splice import splice_reconstruction
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.loading.subject import load_subject
from pm_audit.records import Feature, Finite, Firing, Record
from pm_audit.report.feature_words import with_label
from pm_audit.report.terminal_writer import TerminalWriter
from pm_audit.search.describe import firing
from pm_audit.spec import Dialogue, Settings, Speaker, Turn
from pm_audit.spec.labels import WrittenLabels
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TokenisedRow

SHOWN = 10
"""Features listed in a table, strongest change first."""

_AROUND, _NAME = 20, 36
"""Characters of text around a token, and of a feature's name."""


class FeatureChange(Record):
    """One feature that is active on either completion, and what the edit did to it."""

    feature: Feature
    contribution_a: Finite
    """Reward of A minus reward of A with it set to zero."""
    contribution_b: Finite
    """The same of B."""
    change: Finite
    """``contribution_b - contribution_a``: what the edit gained by it, raw reward."""
    strength_a: Finite
    """Its activations on A, summed over completion tokens."""
    strength_b: Finite
    """The same of B."""
    where: str
    """Its strongest token, between guillemets, with the text around it."""
    label: str = ""
    """What the project calls it; empty if it has no name for it."""
    firing_a: Firing | None = Field(default=None, exclude_if=lambda one: one is None)
    """How it fires on A, from A's first token on; None if it does not, or nobody requested it."""
    firing_b: Firing | None = Field(default=None, exclude_if=lambda one: one is None)
    """The same of B."""

    @property
    def state(self) -> str:
        """Return what the edit did to it: ``gained``, ``lost`` or ``kept``."""
        if self.strength_a == 0:
            return "gained"
        return "lost" if self.strength_b == 0 else "kept"


class Explanation(Record):
    """The reward difference of two completions, feature by feature; raw reward."""

    pm: str
    sae: str
    prompt: str
    completion_a: str
    completion_b: str
    reward_a: Finite
    reward_b: Finite
    features: tuple[FeatureChange, ...]
    """Every feature that is active on either completion, strongest change first."""
    overlap: Finite
    """Joint effect of all features less the sum of their single effects, B minus A."""
    error_term: Finite
    """Effect of the SAE's error term in B, less its effect in A."""
    remainder: Finite
    """Difference less features, overlap and error term."""

    @property
    def difference(self) -> float:
        """Return reward of B minus reward of A."""
        return self.reward_b - self.reward_a

    def __str__(self) -> str:
        """Return the table of ``render``."""
        return self.render()

    def render(self, *, most: int = SHOWN) -> str:
        """Return the table for a terminal, within 100 columns, its rows summing to the total."""
        shown = [one for one in self.features if one.change != 0][:most]
        others = self.features[len(shown) :]
        rows = [[one.state, _name(one), *_numbers(one), one.where] for one in shown]
        totals = [
            (f"{len(others)} other features", sum(one.change for one in others)),
            ("overlap of features", self.overlap),
            ("error term of the SAE", self.error_term),
            ("remainder", self.remainder),
            ("reward of B minus A", self.difference),
        ]
        rows += [["", name, "", "", f"{value:+.3f}", ""] for name, value in totals]
        page = TerminalWriter()
        page.line(f"PM {self.pm}, SAE {self.sae}")
        page.line(f"A {self.reward_a:+.3f} {self.completion_a}")
        page.line(f"B {self.reward_b:+.3f} {self.completion_b}")
        page.line()
        headers = ["edit", "feature", "in A", "in B", "change", "fires on"]
        page.table(headers, rows, roomy=True)
        return page.text()


def explain(
    prompt: str,
    completion_a: str,
    completion_b: str,
    settings: Settings,
    *,
    sae: str | None = None,
    labels: WrittenLabels | None = None,
) -> Explanation:
    """Load the subject that the settings name and explain the difference of two completions.

    Args:
        prompt: what the human says.
        completion_a: the answer before the edit; formats such as ``hh`` want a leading space.
        completion_b: the answer after the edit.
        settings: name the PM and the SAEs.
        sae: name of the SAE; the subject's first for None.
        labels: what the project calls features.

    Raises:
        AuditError: the subject cannot be loaded, or the texts do not fit it.

    """
    pm, saes = load_subject(settings)
    turns = (Turn(speaker=Speaker.HUMAN, text=prompt),)
    chosen = chosen_sae(saes, sae)
    return take_apart(pm, chosen, turns, completion_a, completion_b, labels=labels)


def take_apart(
    pm: PreferenceModel,
    sae: Sae,
    turns: Dialogue,
    completion_a: str,
    completion_b: str,
    *,
    labels: WrittenLabels | None = None,
    firings: int = 0,
) -> Explanation:
    """Return the reward difference of two completions of one dialogue, feature by feature.

    The first ``firings`` features bring how they fire on both completions.
    """
    labels = labels or WrittenLabels()
    texts = [pm.text_format.tokenise(turns, text) for text in (completion_a, completion_b)]
    grid = Grid(tuple(Row(0, text.token_ids, text.completion_start) for text in texts))
    clean = trace(pm, (sae,), grid)
    strength = _strength(clean, sae)
    latents = np.flatnonzero(strength.any(axis=1))
    contributions = ablate_each(clean, sae, latents).dense(latents, [0, 1])
    changes = contributions[:, 1] - contributions[:, 0]
    everything = tuple(
        Feature(sae=sae.name, layer=sae.layer, index=int(latent)) for latent in latents
    )
    joint = clean.rewards - ablate_sets(clean, [everything])[0]
    by_features = float(joint[1] - joint[0])
    by_error = clean.rewards - splice_reconstruction(clean, sae)
    error_term = float(by_error[1] - by_error[0])
    difference = float(clean.rewards[1] - clean.rewards[0])
    order = np.argsort(-np.abs(changes), kind="stable")
    return Explanation(
        pm=pm.name,
        sae=sae.name,
        prompt=turns[-1].text,
        completion_a=completion_a,
        completion_b=completion_b,
        reward_a=clean.rewards[0],
        reward_b=clean.rewards[1],
        features=tuple(
            FeatureChange(
                feature=everything[at],
                contribution_a=contributions[at, 0],
                contribution_b=contributions[at, 1],
                change=changes[at],
                strength_a=strength[latents[at], 0],
                strength_b=strength[latents[at], 1],
                where=_where(pm, clean, sae, int(latents[at]), texts),
                label=labels.text(everything[at]) or "",
                **(_firings(pm, clean, sae, int(latents[at]), texts) if rank < firings else {}),
            )
            for rank, at in enumerate(order)
        ),
        overlap=by_features - float(changes.sum()),
        error_term=error_term,
        remainder=difference - by_features - error_term,
    )


def chosen_sae(saes: Sequence[Sae], name: str | None) -> Sae:
    """Return the SAE of this name, the first for None.

    Raises:
        SaeError: none has this name.

    """
    if name is None:
        return saes[0]
    for sae in saes:
        if sae.name == name:
            return sae
    known = ", ".join(sae.name for sae in saes)
    raise SaeError(f"no SAE of this subject is called {name!r}; choose one of {known}")


def _strength(clean: Trace, sae: Sae) -> np.ndarray:
    """Return each latent's activations summed over completion tokens, [latent row]."""
    features = clean.features[sae.name]
    rows = clean.row_of_token()[features.token_here]
    strength = np.zeros((sae.width, len(clean.grid)))
    values = features.value.double().cpu().numpy()
    np.add.at(strength, (features.latent_here, rows), values)
    return strength


def _where(
    pm: PreferenceModel, clean: Trace, sae: Sae, latent: int, texts: Sequence[TokenisedRow]
) -> str:
    features = clean.features[sae.name]
    own = (features.latent == latent).nonzero()[:, 0]
    token = int(features.token[own[features.value[own].argmax()]])
    layout = clean.grid.layout
    text = texts[int(layout.completion_row[token])]
    position = int(layout.completion_position[token])
    start, end = text.offsets[position]
    shown = text.text[start:end] or pm.text_format.token_name(text.token_ids[position])
    before, after = text.text[max(0, start - _AROUND) : start], text.text[end : end + _AROUND]
    return f"{before}«{shown}»{after}"


def _firings(
    pm: PreferenceModel, clean: Trace, sae: Sae, latent: int, texts: Sequence[TokenisedRow]
) -> dict[str, Firing | None]:
    """Return how a latent fires on each completion, by the field that holds it."""
    features, layout = clean.features[sae.name], clean.grid.layout
    own = (features.latent == latent).nonzero()[:, 0]
    tokens = features.token[own].cpu().numpy()
    values = features.value[own].float().cpu().numpy()
    rows, positions = layout.completion_row[tokens], layout.completion_position[tokens]
    found: dict[str, Firing | None] = {}
    for row, name in enumerate(("firing_a", "firing_b")):
        here = rows == row
        found[name] = None
        if here.any():
            text = _completion_alone(texts[row])
            found[name] = firing(text, positions[here], values[here], pm.text_format.token_name)
    return found


def _completion_alone(text: TokenisedRow) -> TokenisedRow:
    """Return a row whose text and offsets start at the completion's first token."""
    start = text.offsets[text.completion_start][0]
    # tokens of no character may have their offsets at the text's start
    offsets = tuple((max(0, first - start), max(0, last - start)) for first, last in text.offsets)
    return replace(text, text=text.text[start:], offsets=offsets)


def _name(change: FeatureChange) -> str:
    return with_label(change.feature, change.label, width=_NAME)


def _numbers(change: FeatureChange) -> list[str]:
    values = (change.contribution_a, change.contribution_b, change.change)
    return [f"{value:+.3f}" for value in values]
