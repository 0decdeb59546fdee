"""Scans of preference sets, the rewards that they rest on, and repairs, for readers."""

from pm_audit.report.preferences.rewards import TABLES, require_table, write_rows
from pm_audit.report.preferences.scan import (
    accuracy_line,
    in_sigma,
    name,
    name_of_group,
    sampled_line,
    skipped_line,
    summary,
)

__all__ = [
    "TABLES",
    "accuracy_line",
    "in_sigma",
    "name",
    "name_of_group",
    "require_table",
    "sampled_line",
    "skipped_line",
    "summary",
    "write_rows",
]
