"""Zero: the feature is off.  Rows in which none of a set's features fires are not run."""

from __future__ import annotations

from pm_audit.forward.targets import SaeTargets, Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.replacements.replacement import Replacement


def zero_features(trace: Trace) -> Targets:
    """Return zero for every latent and error term."""
    tokens = len(trace.grid.layout.completion_tokens)
    return {sae.name: SaeTargets.zero(sae, tokens) for sae in trace.saes}


ZERO = Replacement("zero", lambda experiment, _reference: zero_features(experiment.trace))
