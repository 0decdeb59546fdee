"""Build with or without the weights of the default PM, which are not for commercial use.

With ``PM_AUDIT_WITHOUT_WEIGHTS=1`` in the environment, wheel and sdist hold no weights, and their
metadata name the code's licence alone.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

SWITCH = "PM_AUDIT_WITHOUT_WEIGHTS"
CODE = "Apache-2.0"
WEIGHTS = "CC-BY-NC-4.0"


def weights(root: str) -> list[Path]:
    """Return the files to ship that the non-commercial licence holds for."""
    if os.environ.get(SWITCH, "") not in ("", "0"):
        return []
    return sorted(Path(root, "pm_audit", "loading", "default", "weights").rglob("*.safetensors"))


class Weights(BuildHookInterface):
    """Add the weights, which pyproject.toml excludes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to what is built; an editable installation reads them where they are."""
        if version != "editable":
            build_data["force_include"] |= {
                str(path): path.relative_to(self.root).as_posix() for path in weights(self.root)
            }


class Licence(MetadataHookInterface):
    """Write the licence of what is built into its metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Name both licences where weights are built in."""
        found = weights(self.root)
        metadata["license"] = f"{CODE} AND {WEIGHTS}" if found else CODE
        metadata["license-files"] = ["LICENSE", *(["LICENSE-WEIGHTS.md"] if found else [])]
