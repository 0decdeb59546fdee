"""All replacements by name: pm_audit's own, and what other packages add.

Another package adds one by an entry point of the group ``pm_audit.replacements`` that names an
instance of ``Replacement``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from pm_audit.errors import AuditError
from pm_audit.extensions import guarded, registry
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import SaeTargets, Targets
from pm_audit.interventions.replacements.contrast import CONTRAST
from pm_audit.interventions.replacements.mean import MEAN
from pm_audit.interventions.replacements.replacement import Replacement
from pm_audit.interventions.replacements.resample import RESAMPLE
from pm_audit.interventions.replacements.zero import ZERO
from pm_audit.subject.sae import Sae

OWN: tuple[Replacement, ...] = (CONTRAST, ZERO, MEAN, RESAMPLE)

GROUP = "pm_audit.replacements"


def replacements() -> Mapping[str, Replacement]:
    """Return all replacements by name.

    Raises:
        AuditError: two share a name, or an entry point names something else.

    """
    return {
        name: one if one in OWN else Replacement(name, partial(_guarded, one))
        for name, one in registry(OWN, GROUP, Replacement).items()
    }


def replacement(name: str) -> Replacement:
    """Return the replacement of this name.

    Raises:
        AuditError: no installed package has one.

    """
    found = replacements()
    if name not in found:
        raise AuditError(f"no replacement is named {name!r}; choose one of {', '.join(found)}")
    return found[name]


def _guarded(one: Replacement, experiment: Experiment, reference: Integers) -> Targets:
    """Return the targets that another package gives.

    Raises:
        AuditError: it raises, or they are no finite values for every token of every SAE.

    """
    trace = experiment.trace
    with guarded(f"replacement {one.name!r} of {GROUP}", error=AuditError):
        targets = one.targets(experiment, reference)
        for sae in trace.saes:
            _require_targets(targets[sae.name], sae, len(trace.grid.layout.completion_tokens))
    return targets


def _require_targets(targets: SaeTargets, sae: Sae, tokens: int) -> None:
    group, latent, value, error = targets.group, targets.latent, targets.value, targets.error
    shapes = [tuple(one.shape) for one in (group, value, error)]
    groups = len(value)
    expected = [(tokens,), (groups, len(latent)), (groups, sae.hidden_size)]
    if shapes != expected:
        raise ValueError(f"targets of SAE {sae.name} have the shapes {shapes}, expected {expected}")
    if not np.isin(group, np.arange(groups)).all():
        raise ValueError(f"a group of SAE {sae.name} is none of its {groups}")
    if (np.diff(latent, prepend=-1, append=sae.width) <= 0).any():
        raise ValueError(f"the latents of SAE {sae.name} are not sorted, or not its own")
    if {value.dtype, error.dtype} != {sae.W_dec.dtype}:
        raise ValueError(f"value or error of SAE {sae.name} is not {sae.W_dec.dtype}")
    if not (value.isfinite().all() and error.isfinite().all()):
        raise ValueError(f"value or error of SAE {sae.name} is not finite")
