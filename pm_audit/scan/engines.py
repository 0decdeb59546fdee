"""Engines that run tasks: this process, several processes, or Ray.

Each worker holds one subject and runs one task at a time, so that its memory is that of the
subject and of one portion of a shard.  Results come as they are ready.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pm_audit.errors import AuditError
from pm_audit.loading.subject import only
from pm_audit.scan.task import Loader, Subject, Task, chosen_sae, one_thread
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

Numbered = tuple[int, bytes]
"""Place of a task among those that were given, and its result."""

_RETRIES = 3
"""How often Ray runs a task again whose worker died."""


class EngineName(StrEnum):
    """Where tasks run."""

    LOCAL = "local"
    """This process, or several of this machine."""
    RAY = "ray"
    """Workers of a Ray cluster, or of one that is started on this machine."""


@dataclass(frozen=True, eq=False)
class Fleet:
    """The subject, and the workers that load it themselves."""

    subject: Subject
    loader: Loader | None = None
    """How workers load the subject; None if it was given as objects, and stays in this process."""
    engine: EngineName = EngineName.LOCAL
    workers: int = 1

    @classmethod
    def of(
        cls,
        loader: Loader,
        given: tuple[Sequence[PreferenceModel], Sequence[Sae]] | None = None,
        *,
        engine: EngineName = EngineName.LOCAL,
        workers: int = 1,
    ) -> Fleet:
        """Return a fleet with its subject loaded.

        Args:
            loader: loads the subject, here and in the workers.
            given: a PM and SAEs that are loaded already, in place of those that it names.
            engine: where tasks run.
            workers: how many tasks run at a time.

        Raises:
            AuditError: the subject cannot be loaded, or objects were given to several workers.

        """
        if given is None:
            return cls(loader.load(), loader, engine, workers)
        pms, saes = given
        scanned = None if loader.rewards_only else chosen_sae(tuple(saes), loader.sae)
        return cls(Subject(only(pms), scanned), None, engine, workers)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise AuditError(f"{self.workers} workers cannot run anything; give at least 1")
        if self.loader is None and (self.workers > 1 or self.engine is EngineName.RAY):
            raise AuditError(
                "several workers load the PM and the SAE themselves; give their names or paths "
                "instead of loaded objects, or use one local worker"
            )
        if self.engine is EngineName.RAY:
            _ray()

    def run(self, tasks: Sequence[Task]) -> Iterator[Numbered]:
        """Yield each task's result, in the order in which they are ready.

        Raises:
            AuditError: a task fails, or Ray is not installed.

        """
        if not tasks:
            return
        if self.loader is None or (self.workers == 1 and self.engine is EngineName.LOCAL):
            yield from self._here(tasks)
        elif self.engine is EngineName.LOCAL:
            yield from _in_processes(tasks, self.loader, min(self.workers, len(tasks)))
        else:
            yield from _on_ray(tasks, self.loader, min(self.workers, len(tasks)))

    def _here(self, tasks: Sequence[Task]) -> Iterator[Numbered]:
        for number, task in enumerate(tasks):
            with one_thread():
                result = task.run(self.subject)
            yield number, result


_OWN: list[Subject] = []
"""The subject of this worker process."""


def _start(loader: Loader, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _OWN[:] = [loader.load()]


def _end_with(parent: int) -> None:
    """End this process when its parent was killed, which no signal tells it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(task: Task) -> bytes:
    with one_thread():
        return task.run(_OWN[0])


def _in_processes(tasks: Sequence[Task], loader: Loader, workers: int) -> Iterator[Numbered]:
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, _start, (loader, os.getpid())) as pool:
        numbers = {pool.submit(_work, task): number for number, task in enumerate(tasks)}
        try:
            for ready in as_completed(numbers):
                yield numbers[ready], ready.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _ray() -> Any:  # noqa: ANN401 - a library without types
    try:
        import ray
    except ImportError:
        raise AuditError(
            "the engine ray needs the package ray; install it with: pip install 'pm-audit[scale]'"
        ) from None
    return ray


class _Worker:
    """A Ray actor: loads the subject once and runs the tasks that it gets."""

    def __init__(self, loader: Loader) -> None:
        self._subject = loader.load()

    def run(self, numbered: tuple[int, Task]) -> Numbered:
        number, task = numbered
        with one_thread():
            return number, task.run(self._subject)


def _on_ray(tasks: Sequence[Task], loader: Loader, workers: int) -> Iterator[Numbered]:
    ray = _ray()
    from ray.util import ActorPool

    started = not ray.is_initialized()
    if started:
        # RAY_ADDRESS names a cluster; without it Ray starts one on this machine
        own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
        ray.init(include_dashboard=False, log_to_driver=False, **own)
    on_gpu = loader.settings.device.startswith("cuda")
    actor = ray.remote(
        num_cpus=1, num_gpus=1 if on_gpu else 0, max_restarts=-1, max_task_retries=_RETRIES
    )(_Worker)
    try:
        # a worker gets its next task when it has given back the last one
        pool = ActorPool([actor.remote(loader) for _ in range(workers)])
        yield from pool.map_unordered(lambda one, task: one.run.remote(task), enumerate(tasks))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AuditError):
            raise error.cause from None
        raise
    finally:
        if started:
            ray.shutdown()
