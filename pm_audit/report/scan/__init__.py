"""A scan, and the rewards that it rests on, for readers."""

from pm_audit.report.scan.rewards import TABLES, require_table, write_rows
from pm_audit.report.scan.terminal import (
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
