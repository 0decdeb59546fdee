"""What the run needs of whatever audits: the default, or one that a plug-in brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pm_audit.records import HypothesisRecord, MethodRecord, SubjectRecord
from pm_audit.spec import Hypothesis


class Auditor(Protocol):
    """Audits hypotheses on one subject."""

    def audit(self, hypothesis: Hypothesis) -> HypothesisRecord:
        """Return the judged record of one hypothesis.

        Raises:
            AuditError: something that the user can fix.

        """

    @property
    def subject(self) -> SubjectRecord:
        """What is audited."""

    @property
    def method(self) -> MethodRecord:
        """Every setting that could change a figure."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Versions and machine."""
