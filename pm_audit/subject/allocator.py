"""The allocator of pm_audit's own processes: memory that a batch frees is kept.

A batch's products fill buffers of several megabytes.  glibc returns such buffers to the system when
they are freed, and each next one costs a page fault for every 4 kB of it: eight per cent of the
CPU time of an ablation, measured.  A process that imports pm_audit as a library keeps its own
allocator.
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
def own_process() -> bool:
    """Keep freed memory, once a process; return whether its allocator can.

    Only for the command line and for pytest under ``--pm-audit``.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT) and mallopt(_M_MMAP_THRESHOLD, _FROM_HEAP))
