"""The record as one HTML page: self-contained, offline, safe against hostile completions."""

from pm_audit.report.formats import ReportFormat
from pm_audit.report.html.page import render, render_comparison

__all__ = ["FORMAT", "render", "render_comparison"]

FORMAT = ReportFormat(".html", render, annotated=render)
