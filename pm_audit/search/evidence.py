"""From rewards and searches to the plain numbers that a verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.forward.experiment import Experiment
from pm_audit.forward.scale import Scale
from pm_audit.records import Evidence, FoldEvidence, Role, RowEvidence, SaeFit
from pm_audit.search.held_out import HeldOut
from pm_audit.search.propose import Proposal
from pm_audit.search.select import FoldSearch
from pm_audit.search.singles import Singles
from pm_audit.spec import Case


def unsearched(
    cases: Sequence[Case], experiment: Experiment, fits: Sequence[SaeFit], scale: Scale
) -> Evidence:
    """Return what is known before the search: nothing has been replaced."""
    rewards = experiment.rewards
    names = {case.prompt: case.prompt_id for case in cases}
    return Evidence(
        prompts=tuple(names[number] for number in range(experiment.contrast.prompts)),
        rows=tuple(
            RowEvidence(
                prompt=case.prompt,
                role=case.role,
                variant=case.variant,
                text=case.text,
                reward=rewards[at],
                ablated=rewards[at],
            )
            for at, case in enumerate(cases)
        ),
        sigma=scale.sigma,
        noise=scale.noise,
        folds=(),
        null=(),
        fits=tuple(fits),
    )


def searched(
    evidence: Evidence,
    experiment: Experiment,
    proposal: Proposal,
    searches: Sequence[FoldSearch],
    held_out: HeldOut,
    singles: Singles,
) -> Evidence:
    """Return the evidence with what the search found and its effect on held-out prompts."""
    single_sum = np.full(len(evidence.rows), np.nan)
    for one in searches:
        tested = experiment.rows_of(one.fold.held_out)
        single_sum[tested] = singles.summed(one.selected)[tested]
    rows = tuple(
        RowEvidence(
            **dict(row)
            | {
                "ablated": held_out.ablated[at],
                "single_sum": None if np.isnan(single_sum[at]) else single_sum[at],
            }
        )
        for at, row in enumerate(evidence.rows)
    )
    examples = experiment.contrast.has_role(Role.EXAMPLE)
    folds = tuple(
        FoldEvidence(
            held_out=one.fold.held_out,
            selected=one.selected,
            growth=one.growth.closures,
            collateral=one.growth.collaterals,
            sign_agreement=one.agreement.sign_agreement,
            rank_correlation=one.agreement.rank_correlation,
            completeness_gap=proposal.completeness(
                np.flatnonzero(examples & one.fold.sees(experiment.contrast))
            ),
        )
        for one in searches
    )
    return evidence.model_copy(
        update={
            "rows": rows,
            "folds": folds,
            "null": held_out.null,
            "stages": held_out.stages,
            "alongside": held_out.alongside,
        }
    )
