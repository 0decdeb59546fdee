"""Feature records: each candidate with its measured effects and the places where it fires."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Integers
from pm_audit.forward.trace import Trace
from pm_audit.judging import figure_of
from pm_audit.records import Feature, FeatureRecord, Firing, MethodRecord, Neighbour, Role, Unit
from pm_audit.search.decoder_neighbours import nearest
from pm_audit.search.filters import selectivity
from pm_audit.search.label import label
from pm_audit.search.logit_lens import promoted_tokens
from pm_audit.search.propose import Proposal
from pm_audit.search.select import Search
from pm_audit.search.singles import OTHERS_SHOWN
from pm_audit.search.words import Words
from pm_audit.text.text_format import TokenisedRow

TokenName = Callable[[int], str]
"""Names a token that stands for no character of the text."""

FIRINGS, FIRINGS_OF_OTHERS = 5, 2
"""Texts kept for each selected feature, and for each other candidate."""

NEIGHBOURS = 4
"""Nearest decoder directions kept for each feature."""


def describe(
    experiment: Experiment,
    proposal: Proposal,
    search: Search,
    texts: Sequence[TokenisedRow],
    *,
    method: MethodRecord,
    token_name: TokenName | None = None,
) -> tuple[FeatureRecord, ...]:
    """Return the selected features and the strongest others, strongest contribution first.

    The contribution is the mean over the examples of every prompt, its interval over prompts:
    single effects do not depend on which fold selected the feature.
    """
    examples = experiment.contrast.has_role(Role.EXAMPLE)
    strength = {
        feature: abs(float(search.contribution(feature)[examples].mean()))
        for feature in search.features_run
    }
    order = sorted(strength, key=lambda feature: -strength[feature])
    selected = [feature for feature in order if _folds(search, feature)]
    others = [feature for feature in order if feature not in selected][:OTHERS_SHOWN]
    shown = sorted(selected + others, key=lambda feature: -strength[feature])
    described = tuple(
        _record(experiment, proposal, search, feature, texts, method, token_name)
        for feature in shown
    )
    return _labelled(described, experiment, search, texts)


def _labelled(
    features: Sequence[FeatureRecord],
    experiment: Experiment,
    search: Search,
    texts: Sequence[TokenisedRow],
) -> tuple[FeatureRecord, ...]:
    """Return the features with their labels, and with what they promote."""
    trace, fold = experiment.trace, search.folds[0].fold
    words = Words.of(trace, texts)
    directions = [trace.sae(one.sae).W_dec[one.index] for one in features]
    return tuple(
        feature.model_copy(
            update={
                "label": label(feature, words, experiment.contrast, fold),
                "promotes": promoted,
            }
        )
        for feature, promoted in zip(features, promoted_tokens(trace.pm, directions), strict=True)
    )


def _record(
    experiment: Experiment,
    proposal: Proposal,
    search: Search,
    feature: Feature,
    texts: Sequence[TokenisedRow],
    method: MethodRecord,
    token_name: TokenName | None,
) -> FeatureRecord:
    trace, contrast = experiment.trace, experiment.contrast
    examples, everywhere = contrast.has_role(Role.EXAMPLE), np.ones(len(trace.grid), dtype=bool)
    contribution = search.contribution(feature)
    by_prompt = contrast.mean_by_prompt(contribution, examples).tolist()
    dropped, folds = search.dropped.get(feature), _folds(search, feature)
    most = FIRINGS if folds else FIRINGS_OF_OTHERS
    near = nearest(trace.sae(feature.sae), feature.index, most=NEIGHBOURS)
    return FeatureRecord(
        sae=feature.sae,
        layer=feature.layer,
        index=feature.index,
        contribution=figure_of(by_prompt, method=method, unit=Unit.REWARD),
        attribution=float(proposal.integrated(feature)[examples].mean()),
        selectivity=selectivity(contribution, contrast, everywhere),
        frequency=float(proposal.fires(feature)[examples].mean()),
        folds=folds,
        dropped_by=None if dropped is None else dropped.value,
        firings=_firings(trace, feature, texts, most=most, token_name=token_name),
        neighbours=tuple(Neighbour(index=index, cosine=cosine) for index, cosine in near),
    )


def _folds(search: Search, feature: Feature) -> tuple[int, ...]:
    return tuple(
        number for number, one in enumerate(search.folds) if feature in one.growth.selected
    )


def _firings(
    trace: Trace,
    feature: Feature,
    texts: Sequence[TokenisedRow],
    *,
    most: int,
    token_name: TokenName | None,
) -> tuple[Firing, ...]:
    """Return the texts on whose completions the feature fires most, strongest first."""
    features = trace.features[feature.sae]
    own = (features.latent == feature.index).nonzero()[:, 0]
    tokens = features.token[own].cpu().numpy()
    values = features.value[own].float().cpu().numpy()
    rows = trace.grid.layout.completion_row[tokens]
    positions = trace.grid.layout.completion_position[tokens]
    firings: dict[str, Firing] = {}
    for active in np.argsort(-values, kind="stable"):
        row = int(rows[active])
        text = texts[row]
        if text.text not in firings:
            here = rows == row
            firings[text.text] = _firing(text, positions[here], values[here], token_name)
        if len(firings) == most:
            break
    return tuple(firings.values())


def _firing(
    text: TokenisedRow,
    positions: Integers,
    values: npt.NDArray[np.float32],
    token_name: TokenName | None,
) -> Firing:
    strongest = int(np.argmax(values))
    start, end = text.offsets[int(positions[strongest])]
    return Firing(
        before=text.text[:start],
        token=text.text[start:end],
        after=text.text[end:],
        activation=float(values[strongest]),
        others=tuple(
            (*text.offsets[int(position)], float(f"{value:.4g}"))
            for number, (position, value) in enumerate(zip(positions, values, strict=True))
            if number != strongest
        ),
        special=None
        if token_name is None or start < end
        else token_name(text.token_ids[int(positions[strongest])]),
    )
