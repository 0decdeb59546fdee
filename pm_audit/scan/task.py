"""A task: a shard of fixed content and what is computed of it.

What a task gives depends on nothing but its content and the subject, to the byte: not on the
engine, on the order of tasks, or on how often a run was interrupted.  So a result is kept under
the hash of its task.  Products run on one thread, because the number of threads changes rounding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load, save

from pm_audit.errors import SaeError
from pm_audit.loading.subject import only, pms_of, saes_of
from pm_audit.spec import Settings
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Subject:
    """What a worker holds: a PM and the SAE that is scanned."""

    pm: PreferenceModel
    loaded: Sae | None = None

    @property
    def sae(self) -> Sae:
        """The SAE.

        Raises:
            SaeError: rewards alone were wanted, and none was loaded.

        """
        if self.loaded is None:
            raise SaeError("a scan needs an SAE, and none was loaded; name one with --sae")
        return self.loaded


@dataclass(frozen=True)
class Loader:
    """Loads the subject in a worker's own process."""

    settings: Settings
    sae: str | None = None
    """Name of the SAE; the subject's first for None."""
    rewards_only: bool = False
    """Load no SAE."""

    def load(self) -> Subject:
        """Load the subject.

        Raises:
            AuditError: it cannot be loaded.

        """
        pm = only(pms_of(self.settings))
        if self.rewards_only:
            return Subject(pm)
        return Subject(pm, chosen_sae(saes_of(self.settings, pm_name=pm.name), self.sae))


def chosen_sae(saes: tuple[Sae, ...], name: str | None) -> Sae:
    """Return the SAE of this name, the first for None.

    Raises:
        SaeError: none has this name.

    """
    for sae in saes:
        if name in (None, sae.name):
            return sae
    known = ", ".join(sae.name for sae in saes)
    raise SaeError(f"no SAE of this subject is called {name!r}; choose one of {known}")


class Task(Protocol):
    """What engines run; it is pickled on its way to a worker."""

    @property
    def stage(self) -> str:
        """What it computes, in a word."""

    def content(self) -> object:
        """Return everything that its result depends on but the subject, as plain JSON."""

    def run(self, subject: Subject) -> bytes:
        """Return the result."""


def key(task: Task) -> str:
    """Return the name under which a task's result is kept."""
    return f"{task.stage}-{digest(task.content())[:32]}"


def digest(content: object) -> str:
    """Return the hash of plain JSON."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch's products on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def as_bytes(arrays: Arrays) -> bytes:
    """Return arrays as safetensors."""
    return save({name: np.ascontiguousarray(one) for name, one in arrays.items()})


def as_arrays(result: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of ``as_bytes``."""
    return load(result)
