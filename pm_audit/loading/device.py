"""Whether a device can be used, checked before anything is loaded onto it.

Importing this module imports no torch: an unknown name is refused without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pm_audit.errors import AuditError

_NAME = re.compile(r"([a-z]+)(?::(\d{1,3}))?")
_REMEDY = "name cpu, cuda or cuda:N with --pm-audit-device, or leave it out for cpu"
_WITHOUT = 'audit on the CPU: --pm-audit-device cpu (in Python: device="cpu")'


def require_device(name: str) -> None:
    """Raise AuditError for a device that is unknown or absent; ``name`` is cpu, cuda or cuda:N."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] not in _COUNTS or (found[1] == "cpu" and found[2]):
        raise AuditError(f"device {name[:80]!r} is unknown; {_REMEDY}")
    kind, number = found[1], int(found[2] or 0)
    count = _COUNTS[kind](name)
    if number >= count:
        there = f"{kind}:0 to {kind}:{count - 1}" if count > 1 else f"only {kind}:0"
        raise AuditError(f"device {name!r} does not exist, this machine has {there}; {_REMEDY}")


def _cuda_devices(name: str) -> int:
    """Return how many GPUs there are, at least one."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        raise AuditError(
            f"device {name!r}: this PyTorch ({torch.__version__}) was built for the CPU only; "
            f"install one built for CUDA (https://pytorch.org/get-started), or {_WITHOUT}"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise AuditError(
            f"device {name!r}: PyTorch sees no GPU; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, "
            f"or {_WITHOUT}"
        )
    return count


_COUNTS: dict[str, Callable[[str], int]] = {"cpu": lambda _: 1, "cuda": _cuda_devices}
"""Count of the devices of each kind."""
