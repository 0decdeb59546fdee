"""The doctor: whether a PM can be audited, and whether these SAEs belong to it.

Each question gets a row with what was measured and, if it failed, the remedy.  A part that
cannot be loaded is a row too, so that one broken SAE does not hide the findings on another.  Torch
is imported after the PM's name was checked (``examination``).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pm_audit.errors import AuditError
from pm_audit.loading.named import require_named_pm
from pm_audit.report import sanitise
from pm_audit.report.terminal_writer import shortened
from pm_audit.spec import Settings
from pm_audit.subject.finding import CONVENTIONS, Finding


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding about the PM or about one of its SAEs."""

    about: str
    """``PM``, or the SAE's name."""
    finding: Finding


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Everything the doctor found, in order."""

    rows: tuple[Diagnosis, ...]

    @property
    def passed(self) -> bool:
        """Whether every finding passed."""
        return all(row.finding.passed for row in self.rows)

    def __str__(self) -> str:
        """Return the table of ``render``."""
        return self.render()

    def render(self) -> str:
        """Return a table for the terminal, at most 100 columns wide."""
        table = [
            [
                shortened(sanitise.terminal(row.about), 18),
                shortened(sanitise.terminal(row.finding.check), 24),
                "PASS" if row.finding.passed else "FAIL",
                _wrapped(row.finding.detail, 46),
            ]
            for row in self.rows
        ]
        headers = ["about", "check", "", "measured"]
        lines = [tabulate(table, headers=headers, disable_numparse=True)]
        failed = [row for row in self.rows if not row.finding.passed]
        # the conventions that were taken are printed in full: the table cuts them
        taken = [row for row in self.rows if row.finding.check == CONVENTIONS]
        for row in (*taken, *failed):
            said = f"{row.about}, {row.finding.check}: {row.finding.remedy or row.finding.detail}"
            shown = sanitise.terminal(said)
            lines.append(textwrap.fill(shown, 100, subsequent_indent="  ", break_on_hyphens=False))
        count = len(self.rows)
        lines.append(f"{len(failed)} of {count} failed" if failed else f"all {count} passed")
        return "\n".join(lines)


def doctor(
    model: str | Path,
    saes: Sequence[str | Path] = (),
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> DoctorReport:
    """Examine a PM and its SAEs.

    A PM whose name or files are wrong is refused without importing torch.

    Args:
        model: as an audit names it; ``default`` is the default PM, which brings its own SAEs.
        saes: folders, files or SAELens names; none for the PM alone.
        settings: of the PM's text, objective, dtype and device, as fields of ``Settings``.

    Raises:
        InvalidSpec: a setting is unknown or of another kind.

    """
    chosen = Settings.merged(
        cli=settings | {"pm": str(model), "saes": [str(sae) for sae in saes] or None}
    )
    try:
        require_named_pm(chosen)
    except AuditError as problem:
        return DoctorReport((Diagnosis("PM", Finding.of_error(problem)),))
    from pm_audit.pipelines.examination import examine

    return DoctorReport(tuple(Diagnosis(*row) for row in examine(chosen)))


def _wrapped(text: str, width: int) -> str:
    shown = sanitise.terminal(text)
    return textwrap.fill(shown, width, break_on_hyphens=False, max_lines=5, placeholder=" …")
