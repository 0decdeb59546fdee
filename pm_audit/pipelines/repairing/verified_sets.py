"""The verified features of an audit record, with the levels that its hypotheses' texts give them.

A set is verified if its hypothesis' ``explained`` check passed: on prompts that took no part in the
search, replacing it closed the gap, and matched random sets did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import AuditError, InvalidSpec, RecordError
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.levels import Levels, mean_levels
from pm_audit.records import (
    AuditRecord,
    Check,
    Feature,
    FeatureRecord,
    HypothesisRecord,
    Outcome,
    Role,
)
from pm_audit.spec import Case, expand, load_hypotheses
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

_COMPARED = (Role.EXAMPLE, Role.COUNTER_EXAMPLE)


@dataclass(frozen=True, eq=False)
class Marker:
    """How strongly a token shows what a hypothesis' set tells its examples apart by.

    The weighted sum of the set's features; a feature weighs as much as its mean differs between
    examples and counter-examples, times the squared norm of its decoder row.
    """

    weight: dict[Feature, float]
    threshold: float
    """Halfway between the mean peaks of counter-examples and of examples."""

    def peaks(self, trace: Trace) -> Floats:
        """Return the largest value over the completion's own tokens, [row]; zero without any."""
        layout = trace.grid.layout
        total = np.zeros(len(layout.completion_tokens))
        for name in {feature.sae for feature in self.weight}:
            features = trace.features[name]
            table = np.zeros(features.sae.width)
            for feature, weight in self.weight.items():
                if feature.sae == name:
                    table[feature.index] = weight
            token, latent = features.token_here, features.latent_here
            np.add.at(total, token, table[latent] * features.strength_here)
        own = layout.completion_place == 0
        found = np.full(len(trace.grid), -np.inf)
        np.maximum.at(found, layout.completion_row[own], total[own])
        return np.where(np.isfinite(found), found, 0.0)


@dataclass(frozen=True, eq=False)
class VerifiedSet:
    """One hypothesis' verified set."""

    name: str
    features: tuple[FeatureRecord, ...]
    """Strongest contribution first."""
    levels: Levels | None = None
    """By its counter-examples; None if its texts cannot be read again."""
    examples: Levels | None = None
    """The same over its examples."""
    streams: Mapping[int, Tensor] | None = None
    """Mean stream [hidden] after each SAE's block over its counter-examples' own tokens."""
    marker: Marker | None = None
    """None also if its features do not tell its own texts apart by their peaks."""

    @property
    def plain(self) -> tuple[Feature, ...]:
        """The features without what is known about them."""
        return tuple(plain(feature) for feature in self.features)


def plain(feature: Feature) -> Feature:
    """Return which feature it is, alone."""
    return Feature(sae=feature.sae, layer=feature.layer, index=feature.index)


def verified(record: AuditRecord, names: Sequence[str] = ()) -> tuple[VerifiedSet, ...]:
    """Return the verified sets of a record, of some hypotheses if any are named.

    Raises:
        RecordError: the record was changed after it was written, a name is unknown or not verified,
            or nothing is verified.

    """
    changed = [one.name for one in record.hypotheses if one.digest != one.computed_digest()]
    if not record.intact or changed:
        what = changed[0] if changed else "its subject or method"
        raise RecordError(f"the record was changed after it was written ({what}); audit again")
    passed = {
        one.name: VerifiedSet(one.name, _selected(one))
        for one in record.hypotheses
        if one.outcomes.get(Check("explained")) is Outcome.PASS and _selected(one)
    }
    unknown = [name for name in names if name not in passed]
    if unknown or not passed:
        what = f"{unknown[0]!r} has no verified set" if unknown else "no set is verified"
        known = ", ".join(passed) or "none"
        raise RecordError(f"{what}: explained passed for {known}; a repair needs a verified set")
    return tuple(passed[name] for name in names) if names else tuple(passed.values())


def _selected(hypothesis: HypothesisRecord) -> tuple[FeatureRecord, ...]:
    chosen = [feature for feature in hypothesis.features if feature.folds]
    return tuple(sorted(chosen, key=lambda one: -abs(one.contribution.value)))


def measured(
    pm: PreferenceModel,
    saes: Sequence[Sae],
    record: AuditRecord,
    sets: Sequence[VerifiedSet],
    root: Path,
) -> tuple[tuple[VerifiedSet, ...], tuple[str, ...]]:
    """Return the sets with levels and markers, and a note on each that has none.

    The texts are those of the hypothesis' file that the record's evidence holds.
    """
    found, notes = [], []
    for one in sets:
        try:
            cases = _cases(next(h for h in record.hypotheses if h.name == one.name), root)
        except AuditError as error:
            notes.append(f"{one.name}: no contrast level: {error}")
            found.append(one)
            continue
        found.append(_measured(pm, saes, one, cases))
        if found[-1].marker is None:
            notes.append(
                f"{one.name}: miscalibration is not measured, because its features peak no higher "
                "in its examples than in its counter-examples"
            )
    return tuple(found), tuple(notes)


def _cases(hypothesis: HypothesisRecord, root: Path) -> list[Case]:
    """Return the examples and counter-examples that the audit read.

    Raises:
        AuditError: the file is not there, or says something else now.

    """
    try:
        loaded = load_hypotheses([root / hypothesis.file], root)
    except InvalidSpec as error:
        raise AuditError(f"{hypothesis.file} cannot be read ({error})") from None
    named = [one for one in loaded if one.full_name == hypothesis.short_name]
    evidence = hypothesis.evidence
    audited = {(evidence.prompts[row.prompt], row.role, row.text) for row in evidence.rows}
    cases = [
        case
        for one in named
        for case in expand(one)
        if case.role in _COMPARED and (case.prompt_id, case.role, case.text) in audited
    ]
    held = {(case.prompt_id, case.role, case.text) for case in cases}
    if missing := sum(key[1] in _COMPARED and key not in held for key in audited):
        raise AuditError(f"{hypothesis.file} no longer holds {missing} texts that were audited")
    return cases


def _measured(
    pm: PreferenceModel, saes: Sequence[Sae], one: VerifiedSet, cases: Sequence[Case]
) -> VerifiedSet:
    prompts: dict[tuple[int, int], int] = {}
    rows = []
    for case in cases:
        text = pm.text_format.tokenise(case.turns, case.text)
        number = prompts.setdefault((case.prompt, case.wording), len(prompts))
        rows.append(Row(number, text.token_ids, text.completion_start, text.completion_stop))
    clean = trace(pm, saes, Grid(tuple(rows)))
    examples = np.array([case.role is Role.EXAMPLE for case in cases])
    counter = mean_levels(clean, np.flatnonzero(~examples))
    example = mean_levels(clean, np.flatnonzero(examples))
    weight = {}
    for feature in one.plain:
        sae = clean.sae(feature.sae)
        means = [float(side[sae.name].of([feature.index])[0, 0]) for side in (example, counter)]
        weight[feature] = (means[0] - means[1]) * float(sae.W_dec[feature.index].norm()) ** 2
    marker = Marker(weight, 0.0)
    peaks = marker.peaks(clean)
    high, low = float(peaks[examples].mean()), float(peaks[~examples].mean())
    marker = Marker(weight, (high + low) / 2)
    layout = clean.grid.layout
    own = (layout.completion_place == 0) & ~examples[layout.completion_row]
    streams = {
        layer: stream[torch.from_numpy(np.flatnonzero(own))].double().mean(dim=0)
        for layer, stream in clean.streams.items()
    }
    known = marker if high > low else None
    return VerifiedSet(one.name, one.features, counter, example, streams, known)
