"""All replacements by name: pm_audit's own, and what other packages add.

Another package adds one by an entry point of the group ``pm_audit.replacements`` that names an
instance of ``Replacement``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pm_audit.errors import AuditError
from pm_audit.extensions import registry
from pm_audit.interventions.replacements.contrast import CONTRAST
from pm_audit.interventions.replacements.mean import MEAN
from pm_audit.interventions.replacements.replacement import Replacement
from pm_audit.interventions.replacements.resample import RESAMPLE
from pm_audit.interventions.replacements.zero import ZERO

OWN: tuple[Replacement, ...] = (CONTRAST, ZERO, MEAN, RESAMPLE)

GROUP = "pm_audit.replacements"


def replacements() -> Mapping[str, Replacement]:
    """Return all replacements by name.

    Raises:
        AuditError: two share a name, or an entry point names something else.

    """
    return registry(OWN, GROUP, Replacement)


def replacement(name: str) -> Replacement:
    """Return the replacement of this name.

    Raises:
        AuditError: no installed package has one.

    """
    found = replacements()
    if name not in found:
        raise AuditError(f"no replacement is named {name!r}; choose one of {', '.join(found)}")
    return found[name]
