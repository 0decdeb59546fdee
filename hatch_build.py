"""Build with or without the weights of the default PM and the SAEs, not for commercial use.

With ``PM_AUDIT_WITHOUT_WEIGHTS=1`` in the environment, wheel and sdist hold no weights, and their
metadata names only the licence of the code.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

SWITCH = "PM_AUDIT_WITHOUT_WEIGHTS"
CODE = "Apache-2.0"
WEIGHTS = "CC-BY-NC-4.0"


SHIPPED = ("pm_audit/loading/default/weights", "pm_audit/loading/judges/weights")
"""In wheel and sdist: the default PM with its SAEs, and the SAEs of the judges with a name."""
SOURCE_ONLY = "recipes/biased/weights"
"""In the sdist alone, as all of recipes/: the biased PM."""


def weights(root: str, *folders: str) -> list[Path]:
    """Return the files in these folders to which the non-commercial licence applies."""
    if os.environ.get(SWITCH, "") not in ("", "0"):
        return []
    return sorted(path for name in folders for path in Path(root, name).rglob("*.safetensors"))


class Weights(BuildHookInterface):
    """Add the weights, which pyproject.toml excludes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to wheel and sdist; an editable installation reads them in place."""
        if version == "editable":
            return
        folders = (*SHIPPED, SOURCE_ONLY) if self.target_name == "sdist" else SHIPPED
        build_data["force_include"] |= {
            str(path): path.relative_to(self.root).as_posix()
            for path in weights(self.root, *folders)
        }


class Licence(MetadataHookInterface):
    """Write the licence of what is built into its metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Name both licences if weights are included."""
        found = weights(self.root, *SHIPPED)
        metadata["license"] = f"{CODE} AND {WEIGHTS}" if found else CODE
        metadata["license-files"] = ["LICENSE", *(["LICENSE-WEIGHTS.md"] if found else [])]
