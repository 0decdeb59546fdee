"""Feature records: each candidate with its measured effects and the places where it fires."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pm_audit.discover.propose import Proposal
from pm_audit.discover.select import Search, selectivity
from pm_audit.engine.contrast import Contrast
from pm_audit.engine.trace import Trace
from pm_audit.models.text_format import TokenisedRow
from pm_audit.records import (
    Feature,
    FeatureRecord,
    Firing,
    MethodRecord,
    Neighbour,
    Role,
    Unit,
)
from pm_audit.verdict import figure_of

FIRINGS = 5
"""Strongest firings kept for each feature."""

NEIGHBOURS = 4
"""Nearest decoder directions kept for each feature."""

UNSELECTED_SHOWN = 12
"""Candidates beside the selected ones that are recorded, strongest effect first."""


def describe(
    trace: Trace,
    contrast: Contrast,
    proposal: Proposal,
    search: Search,
    texts: Sequence[TokenisedRow],
    *,
    method: MethodRecord,
) -> tuple[FeatureRecord, ...]:
    """Return the selected features and the strongest others, strongest contribution first.

    The contribution is the mean over examples, its interval over prompts.  Every prompt counts:
    single effects do not hang on which fold selected the feature.
    """
    examples = contrast.has_role(Role.EXAMPLE)
    everywhere = np.ones(len(examples), dtype=bool)
    strength = {
        feature: abs(float(search.contribution(feature)[examples].mean()))
        for feature in search.features
    }
    order = sorted(search.features, key=lambda feature: -strength[feature])
    chosen = [feature for feature in order if _folds(search, feature)]
    chosen += [feature for feature in order if feature not in chosen][:UNSELECTED_SHOWN]
    records = []
    for feature in sorted(chosen, key=lambda feature: -strength[feature]):
        contribution = search.contribution(feature)
        fires = proposal.fires(feature)
        dropped = search.dropped.get(feature)
        records.append(
            FeatureRecord(
                sae=feature.sae,
                layer=feature.layer,
                index=feature.index,
                contribution=figure_of(
                    contrast.mean_by_prompt(contribution, examples).tolist(),
                    method=method,
                    unit=Unit.REWARD,
                ),
                attribution=float(proposal.integrated(feature)[examples].mean()),
                selectivity=selectivity(contribution, contrast, everywhere),
                frequency=float(fires[examples].mean()),
                folds=_folds(search, feature),
                dropped_by=None if dropped is None else dropped.value,
                firings=_firings(trace, feature, texts),
                neighbours=_neighbours(trace, feature),
            )
        )
    return tuple(records)


def _folds(search: Search, feature: Feature) -> tuple[int, ...]:
    return tuple(
        number for number, one in enumerate(search.folds) if feature in one.growth.selected
    )


def _firings(trace: Trace, feature: Feature, texts: Sequence[TokenisedRow]) -> tuple[Firing, ...]:
    """Return the strongest firings, one a text, with the text around the token."""
    features = trace.features[feature.sae]
    own = (features.latent == feature.index).nonzero()[:, 0]
    order = own[torch.argsort(features.value[own], descending=True, stable=True)]
    layout = trace.grid.layout
    seen: set[str] = set()
    firings: list[Firing] = []
    for active in order.tolist():
        token = int(features.token[active])
        row, position = int(layout.completion_row[token]), int(layout.completion_position[token])
        text = texts[row]
        if text.text in seen:
            continue
        seen.add(text.text)
        start, end = text.offsets[position]
        firings.append(
            Firing(
                before=text.text[:start],
                token=text.text[start:end],
                after=text.text[end:],
                activation=float(features.value[active]),
            )
        )
        if len(firings) == FIRINGS:
            break
    return tuple(firings)


def _neighbours(trace: Trace, feature: Feature) -> tuple[Neighbour, ...]:
    decoder = torch.nn.functional.normalize(trace.sae(feature.sae).W_dec.float(), dim=-1)
    cosines = decoder @ decoder[feature.index]
    cosines[feature.index] = -1.0
    nearest = torch.topk(cosines, min(NEIGHBOURS, len(cosines) - 1))
    return tuple(
        Neighbour(index=int(index), cosine=float(cosine))
        for index, cosine in zip(nearest.indices, nearest.values, strict=True)
    )
