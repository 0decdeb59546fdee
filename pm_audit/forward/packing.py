"""Jobs of similar length, packed into flat batches without padding.

A job is a run of one row's tokens, from its first changed position to its end, that attends to
the row's earlier tokens as they were in the clean forward.  Jobs of equal length share one
attention call; every other product runs on all tokens of the batch at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pm_audit.errors import AuditError
from pm_audit.forward.grid import Integers, Layout
from pm_audit.subject.kernels.attention_kernels import kernels_without_plans
from pm_audit.subject.kernels.half_products import widened_halves
from pm_audit.subject.kernels.joined_attention import Joined, has_kernel
from pm_audit.subject.kernels.packed_attention import SegmentGroup
from pm_audit.subject.kernels.products import wide_products

TOKEN_BUDGET = 2048
"""Tokens of one batch; larger batches no longer speed up matrix products on a CPU."""

CUDA_TOKEN_BUDGET = 16384
"""The same on a GPU, where small batches leave most of the device idle."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""Messages of allocators that raise no exception of their own, and of accelerate."""

_CONTEXT_PER_TOKEN = 16
"""Context entries that cost about as much memory as one token's activations."""


@dataclass(frozen=True, eq=False)
class Jobs:
    """Runs of tokens to compute, one array entry a job."""

    row: Integers
    """[job], row of the grid."""
    start: Integers
    """[job], first position that is computed again."""
    stop: Integers
    """[job], position after the last; the row's length unless only a shared prefix is read."""

    def __len__(self) -> int:
        return len(self.row)

    def take(self, indices: Integers) -> Jobs:
        """Return the jobs at ``indices``."""
        return Jobs(self.row[indices], self.start[indices], self.stop[indices])


@dataclass(frozen=True, eq=False)
class Batch:
    """Some jobs' tokens laid out one job after the other."""

    jobs: Integers
    """[job], index of each job in the jobs that were packed."""
    row: Integers
    """[job], row of the grid."""
    lengths: Integers
    """[job], tokens of each job."""
    tokens: Tensor
    """[token], index in the grid's flat layout."""
    token_ids: Tensor
    """[token]"""
    positions: Tensor
    """[token]"""
    groups: tuple[SegmentGroup, ...]
    joined: Joined | None
    """The groups' segments for one call; None if the device has no kernel for it."""
    last: Tensor
    """[job], index within the batch of each job's last token."""
    job_of: Tensor
    """[token], index within the batch of the job that the token belongs to."""
    completion: Tensor
    """[token], index into the grid's completion tokens; negative before the completion."""


def pack(layout: Layout, jobs: Jobs, *, token_budget: int, device: torch.device) -> Iterator[Batch]:
    """Yield batches of at most ``token_budget`` tokens (or one job), longest jobs first."""
    length = jobs.stop - jobs.start
    order = np.lexsort((-jobs.start, -length))
    order = order[length[order] > 0]
    spent = np.cumsum(length[order])
    context = np.cumsum(jobs.start[order])
    first = 0
    while first < len(order):
        tokens_before = spent[first] - length[order[first]]
        context_before = context[first] - jobs.start[order[first]]
        fits = min(
            np.searchsorted(spent, tokens_before + token_budget, side="right"),
            np.searchsorted(
                context, context_before + token_budget * _CONTEXT_PER_TOKEN, side="right"
            ),
        )
        after = max(first + 1, int(fits))
        yield _batch(layout, jobs, order[first:after], device)
        first = after


def in_batches(
    layout: Layout,
    jobs: Jobs,
    run: Callable[[Batch], None],
    *,
    token_budget: int | None,
    device: torch.device,
) -> None:
    """Run every batch of the jobs; out of memory halves the batches that are still to run.

    Args:
        layout: of the grid.
        jobs: what to run.
        run: writes its batch's results where they belong; running a batch again is harmless.
        token_budget: tokens of one batch; None for what suits the device.
        device: where the batches' index tensors go.

    Raises:
        AuditError: a single job does not fit into memory.

    """
    if token_budget is None:
        token_budget = CUDA_TOKEN_BUDGET if device.type == "cuda" else TOKEN_BUDGET
    pending = np.arange(len(jobs))
    while len(pending):
        done: list[Integers] = []
        failed: Batch | None = None
        for batch in pack(layout, jobs.take(pending), token_budget=token_budget, device=device):
            if not _ran(run, batch, pending):
                failed = batch
                break
            done.append(pending[batch.jobs])
        if failed is None:
            return
        if len(failed.jobs) == 1:
            raise AuditError(
                f"out of memory on a single row of {int(failed.lengths[0])} tokens; "
                "shorten the texts, or use a smaller dtype or another device"
            )
        token_budget = max(1, min(token_budget, int(failed.lengths.sum())) // 2)
        pending = np.setdiff1d(pending, np.concatenate(done) if done else [])
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _ran(run: Callable[[Batch], None], batch: Batch, pending: Integers) -> bool:
    """Run one batch, its jobs numbered as the caller knows them; False if memory ran out.

    A function of its own, so that the exception and the tensors it holds are gone on return.
    """
    known = Batch(**{**vars(batch), "jobs": pending[batch.jobs]})
    try:
        with _kernels_for(batch.tokens.device):
            run(known)
    except torch.OutOfMemoryError:
        return False
    except RuntimeError as error:
        if not any(text in str(error) for text in _OUT_OF_MEMORY):
            raise
        return False
    return True


@contextlib.contextmanager
def _kernels_for(device: torch.device) -> Iterator[None]:
    """Choose the libraries of products and attention.

    The choice for a CPU costs each call of torch some microseconds, too much for calls that only
    start work on a GPU.
    """
    if device.type == "cpu":
        with wide_products(), widened_halves():
            yield
    else:
        with kernels_without_plans():
            yield


def _batch(layout: Layout, jobs: Jobs, chosen: Integers, device: torch.device) -> Batch:
    row, start = jobs.row[chosen], jobs.start[chosen]
    lengths = jobs.stop[chosen] - start
    ends = np.cumsum(lengths)
    job_of = np.repeat(np.arange(len(chosen)), lengths)
    positions = np.arange(ends[-1]) - (ends - lengths)[job_of] + start[job_of]
    tokens = layout.locate(row[job_of], positions)
    completion_start = layout.length[row] - np.diff(layout.completion_offsets)[row]
    into = positions - completion_start[job_of]
    completion = np.where(into >= 0, layout.completion_offsets[row][job_of] + into, -1)

    wanted = [tokens, layout.token_ids[tokens], layout.positions[tokens], ends - 1]
    wanted += [job_of, completion]
    spans: list[tuple[int, int]] = []
    changes = np.flatnonzero(np.diff(lengths)) + 1
    for first, after in zip([0, *changes], [*changes, len(chosen)], strict=True):
        spans.append((int(first), int(after)))
        wanted += _context(layout, row[first:after], start[first:after])
    joins = has_kernel(device)
    if joins:
        wanted += _joined(layout, row, lengths, start)
    there = iter(moved(wanted, device))
    of_tokens = [next(there) for _ in range(6)]
    groups = []
    for first, after in spans:
        context, context_length = next(there), next(there)
        groups.append(
            SegmentGroup(
                first=int(ends[first] - lengths[first]),
                count=after - first,
                length=int(lengths[first]),
                context=context if context.numel() else None,
                context_length=context_length if context_length.numel() else None,
            )
        )
    joined = None
    if joins:
        keys, own, queries_before, keys_before = there
        joined = Joined(
            keys if keys.numel() else None,
            own,
            queries_before.int(),
            keys_before.int(),
            int(lengths.max()),
            int((start + lengths).max()),
        )
    return Batch(
        jobs=chosen,
        row=row,
        lengths=lengths,
        tokens=of_tokens[0],
        token_ids=of_tokens[1],
        positions=of_tokens[2],
        groups=tuple(groups),
        joined=joined,
        last=of_tokens[3],
        job_of=of_tokens[4],
        completion=of_tokens[5],
    )


def moved(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> list[Tensor]:
    """Return arrays of one dtype on the device, in one copy: each by itself would cost as much."""
    here = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    if device.type == "cuda":
        # a copy from pageable memory waits for all work that the GPU has queued
        here = here.pin_memory()
    parts = torch.split(here.to(device, non_blocking=True), [array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


def _context(layout: Layout, row: Integers, start: Integers) -> tuple[Integers, Integers]:
    """Return the right-aligned flat indices [job context] of earlier positions, and how many.

    Both are empty if there are no such positions; how many is empty if all of them count.
    """
    none = start[:0]
    most = int(start.max())
    if most == 0:
        return none, none
    position = start[:, None] - most + np.arange(most)
    context = layout.locate(row[:, None], np.maximum(position, 0))
    return context, none if bool((start == most).all()) else start


def _joined(
    layout: Layout, row: Integers, lengths: Integers, start: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """Return what ``Joined`` holds: keys [key], new tokens' places [token], counts [segment + 1].

    The keys are empty if no segment has a context.
    """
    key_lengths = start + lengths
    queries_before = np.concatenate([[0], np.cumsum(lengths)])
    keys_before = np.concatenate([[0], np.cumsum(key_lengths)])
    segment = np.repeat(np.arange(len(row)), key_lengths)
    position = np.arange(keys_before[-1]) - keys_before[segment]
    own = np.flatnonzero(position >= start[segment])
    keys = layout.locate(row[segment], position) if start.any() else start[:0]
    return keys, own, queries_before, keys_before
