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
from pm_audit.search.folds import Fold
from pm_audit.search.label import label
from pm_audit.search.logit_lens import promoted_tokens
from pm_audit.search.propose import Proposal
from pm_audit.search.select import FoldSearch
from pm_audit.search.singles import Singles, selectivity
from pm_audit.search.words import Words
from pm_audit.text.text_format import TokenisedRow

TokenName = Callable[[int], str]
"""Names a token that stands for no character of the text."""

FIRINGS, FIRINGS_OF_OTHERS = 5, 2
"""Texts kept for each selected feature, and for each other candidate."""

NEIGHBOURS = 4
"""Nearest decoder directions kept for each feature."""

OTHERS_SHOWN = 4
"""Candidates that are reported next to the selected ones, strongest attribution first."""


def shown(
    experiment: Experiment, proposal: Proposal, searches: Sequence[FoldSearch]
) -> tuple[Feature, ...]:
    """Return the features that a report shows: the selected, and the strongest other candidates."""
    selected = dict.fromkeys(feature for one in searches for feature in one.selected)
    others = list(
        dict.fromkeys(
            feature for one in searches for feature in one.candidates if feature not in selected
        )
    )
    means = proposal.attributed(others, experiment.rows(Role.EXAMPLE)).mean(axis=1)
    order = np.argsort(-np.abs(means), kind="stable")[:OTHERS_SHOWN]
    return (*selected, *(others[at] for at in order))


def describe(
    experiment: Experiment,
    proposal: Proposal,
    searches: Sequence[FoldSearch],
    singles: Singles,
    texts: Sequence[TokenisedRow],
    *,
    method: MethodRecord,
    token_name: TokenName | None = None,
) -> tuple[FeatureRecord, ...]:
    """Return the features whose single effects were run, strongest contribution first.

    The contribution is the mean over an example of every prompt, its interval over prompts: single
    effects do not depend on which fold selected the feature.
    """
    described = [
        _record(experiment, proposal, searches, singles, feature, texts, method, token_name)
        for feature in singles.features
    ]
    described.sort(key=lambda record: -abs(record.contribution.value))
    return _labelled(described, experiment, searches[0].fold, texts)


def _labelled(
    features: Sequence[FeatureRecord],
    experiment: Experiment,
    fold: Fold,
    texts: Sequence[TokenisedRow],
) -> tuple[FeatureRecord, ...]:
    """Return the features with labels made on a fold's discovery, and with what they promote."""
    trace = experiment.trace
    words = Words.of(trace, texts)
    directions = [trace.sae(one.sae).W_dec[one.index] for one in features]
    return tuple(
        feature.model_copy(
            update={"label": label(feature, words, experiment.contrast, fold), "promotes": promoted}
        )
        for feature, promoted in zip(features, promoted_tokens(trace.pm, directions), strict=True)
    )


def _record(
    experiment: Experiment,
    proposal: Proposal,
    searches: Sequence[FoldSearch],
    singles: Singles,
    feature: Feature,
    texts: Sequence[TokenisedRow],
    method: MethodRecord,
    token_name: TokenName | None,
) -> FeatureRecord:
    trace, contrast = experiment.trace, experiment.contrast
    contribution, examples = singles.of(feature), experiment.rows(Role.EXAMPLE)
    run = contrast.has_role(Role.EXAMPLE) & ~np.isnan(contribution)
    by_prompt = contrast.mean_by_prompt(contribution, run).tolist()
    folds = tuple(number for number, one in enumerate(searches) if feature in one.selected)
    most = FIRINGS if folds else FIRINGS_OF_OTHERS
    near = nearest(trace.sae(feature.sae), feature.index, most=NEIGHBOURS)
    return FeatureRecord(
        sae=feature.sae,
        layer=feature.layer,
        index=feature.index,
        contribution=figure_of(by_prompt, method=method, unit=Unit.REWARD),
        attribution=float(proposal.attributed([feature], examples).mean()),
        selectivity=selectivity(contribution, contrast),
        frequency=_frequency(trace, feature, examples),
        folds=folds,
        firings=strongest_texts(trace, feature, texts, most=most, token_name=token_name),
        neighbours=tuple(Neighbour(index=index, cosine=cosine) for index, cosine in near),
    )


def _frequency(trace: Trace, feature: Feature, rows: Integers) -> float:
    """Return the share of rows in which a feature is active anywhere in the completion."""
    features = trace.features[feature.sae]
    token = features.token_here[features.latent_here == feature.index]
    return float(np.isin(rows, trace.row_of_token()[token]).mean())


def strongest_texts(
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
            firings[text.text] = firing(text, positions[here], values[here], token_name)
        if len(firings) == most:
            break
    return tuple(firings.values())


def firing(
    text: TokenisedRow,
    positions: Integers,
    values: npt.NDArray[np.float32],
    token_name: TokenName | None,
) -> Firing:
    """Return how a feature fires on a text: ``values`` at the ``positions`` of its tokens."""
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
