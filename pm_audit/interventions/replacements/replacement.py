"""A replacement: a rule for what stands in an ablated feature's place at completion positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets


@dataclass(frozen=True)
class Replacement:
    """An entry of the registry."""

    name: str
    targets: Callable[[Experiment, Integers], Targets]
    """(experiment, reference) -> what stands in the place of every SAE's features and error.

    ``reference`` holds the rows whose features may be read for rows of any prompt: the
    counter-examples of the prompts that the search saw."""
