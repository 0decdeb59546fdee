"""From what was run to the plain numbers that a verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.forward.contrast import Floats
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.scale import Scale
from pm_audit.records import (
    Evidence,
    FoldEvidence,
    LayerEvidence,
    NullEvidence,
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
    together = held_out.together
    rows = tuple(
        RowEvidence(
            prompt=row.prompt,
            role=row.role,
            variant=row.variant,
            text=row.text,
            reward=row.reward,
            zero=held_out.zero[at],
            mean=together.selected[at],
            spliced=row.spliced,
            features_replaced=together.features[at],
            stream_replaced=together.streams[at],
            single_sum=held_out.single_sum[at],
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
    layers = tuple(
        LayerEvidence(
            sae=one.saes[0].name,
            layer=one.saes[0].layer,
            mean=tuple(one.selected),
            features_replaced=tuple(one.features),
            stream_replaced=tuple(one.streams),
        )
        for one in held_out.by_sae
    )
    null = tuple(NullEvidence(gap=tuple(gaps.tolist())) for gaps in held_out.null_gaps)
    found = {"rows": rows, "folds": folds, "null": null, "layers": layers}
    return evidence.model_copy(update={**found, "sweeps": proposal.sweeps})
