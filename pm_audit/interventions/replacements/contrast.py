"""Contrast: the mean over the counter-examples of the same prompt.

The completion's own tokens share one mean, in which each counter-example counts alike; each token
that the format writes after a completion has a mean of its own, aligned from the end.  All rows of
a prompt get the same values, counter-examples and controls too, so what a set does elsewhere is
measured.  A feature that is active on both sides counts by its difference.
"""

from __future__ import annotations

import numpy as np

from pm_audit.forward.experiment import Experiment
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets
from pm_audit.interventions.replacements.means import group_means
from pm_audit.interventions.replacements.replacement import Replacement
from pm_audit.records import Role


def contrast_features(experiment: Experiment) -> Targets:
    """Return the counter-examples' means by prompt and place."""
    group, weight = prompt_places(experiment)
    trace, groups = experiment.trace, experiment.contrast.prompts * _places(experiment)
    return {sae.name: group_means(trace, sae, group, weight, groups=groups) for sae in trace.saes}


def prompt_places(experiment: Experiment) -> tuple[Integers, Floats]:
    """Return the group of each completion token, and its weight in the group's mean.

    A group is a prompt and a place (see ``Layout.completion_place``).
    """
    layout, contrast = experiment.trace.grid.layout, experiment.contrast
    row, place = layout.completion_row, layout.completion_place
    places = _places(experiment)
    group = contrast.prompt[row] * places + place
    by_row = row * places + place
    alike = np.bincount(by_row, minlength=len(contrast.prompt) * places)[by_row]
    counted = contrast.has_role(Role.COUNTER_EXAMPLE)[row]
    return group, np.where(counted, 1 / alike, 0.0)


def _places(experiment: Experiment) -> int:
    return int(experiment.trace.grid.layout.completion_place.max(initial=0)) + 1


CONTRAST = Replacement("contrast", lambda experiment, _reference: contrast_features(experiment))
