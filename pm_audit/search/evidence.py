"""From rewards and searches to the plain numbers that a verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.forward.contrast import Floats
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.scale import Scale
from pm_audit.records import (
    Evidence,
    FoldEvidence,
    NullEvidence,
    ReplacementEvidence,
    RowEvidence,
    SaeFit,
)
from pm_audit.search.held_out import HeldOut
from pm_audit.search.propose import Proposal
from pm_audit.search.select import Search
from pm_audit.spec import Case


def unsearched(
    cases: Sequence[Case],
    experiment: Experiment,
    spliced: Floats,
    fits: Sequence[SaeFit],
    scale: Scale,
) -> Evidence:
    """Return what is known before the search: nothing has been ablated."""
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
                zero=rewards[at],
                mean=rewards[at],
                spliced=spliced[at],
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
    search: Search,
    held_out: HeldOut,
) -> Evidence:
    """Return the evidence with what the search found and its effect on held-out prompts."""
    rows = tuple(
        RowEvidence(
            **dict(row)
            | {
                "zero": held_out.zero[at],
                "mean": held_out.together.selected[at],
                "single_sum": held_out.single_sum[at],
            }
        )
        for at, row in enumerate(evidence.rows)
    )
    folds = tuple(
        FoldEvidence(
            held_out=one.fold.held_out,
            selected=one.growth.selected,
            growth=one.growth.closures,
            sign_agreement=one.sign_agreement,
            rank_correlation=one.rank_correlation,
            completeness_gap=proposal.completeness(experiment.rows_of(one.fold.discovery)),
        )
        for one in search.folds
    )
    together = (None, None, held_out.together)
    alone = ((one.saes[0].name, one.saes[0].layer, one) for one in held_out.by_sae)
    replaced = tuple(
        ReplacementEvidence(
            sae=sae,
            layer=layer,
            selected=tuple(one.selected),
            features=tuple(one.features),
            stream=tuple(one.streams),
        )
        for sae, layer, one in (together, *alone)
    )
    null = tuple(NullEvidence(gap=tuple(gaps.tolist())) for gaps in held_out.null_gaps)
    found = {"rows": rows, "folds": folds, "null": null, "replaced": replaced}
    return evidence.model_copy(update={**found, "sweeps": proposal.sweeps})
