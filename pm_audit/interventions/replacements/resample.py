"""Resample: the counter-examples' mean of another prompt, the next one.

What a set does must not depend on which prompt its replaced values come from.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pm_audit.forward.experiment import Experiment
from pm_audit.forward.targets import SaeTargets, Targets
from pm_audit.interventions.replacements.contrast import contrast_features
from pm_audit.interventions.replacements.replacement import Replacement


def resampled_features(experiment: Experiment) -> Targets:
    """Return the contrast's values of the next prompt, of the first one for the last."""
    prompts = experiment.contrast.prompts

    def rolled(targets: SaeTargets) -> SaeTargets:
        groups = len(targets.value)
        source = (np.arange(groups) + groups // prompts) % groups
        at = torch.from_numpy(source).to(targets.value.device)
        return replace(targets, value=targets.value[at], error=targets.error[at])

    return {name: rolled(own) for name, own in contrast_features(experiment).items()}


RESAMPLE = Replacement("resample", lambda experiment, _reference: resampled_features(experiment))
