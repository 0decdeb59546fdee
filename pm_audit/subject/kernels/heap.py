"""Memory that a batch frees stays with the process, for the next batch.

A batch's products fill buffers of several megabytes.  glibc hands such buffers back to the system
when they are freed, and each next one costs a page fault for every 4 kB of it: eight per cent of
the CPU time of an ablation, measured.  Told to keep them, it reuses them.
"""

from __future__ import annotations

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's parameters, from malloc.h."""

_KEPT = 512 * 2**20
"""Bytes that may lie free at the end of the heap."""

_FROM_HEAP = 32 * 2**20
"""Bytes up to which a buffer comes from the heap; glibc takes no more."""


@cache
def keep_freed_memory() -> bool:
    """Tell the allocator, once a process; say whether it is one that can be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT) and mallopt(_M_MMAP_THRESHOLD, _FROM_HEAP))
