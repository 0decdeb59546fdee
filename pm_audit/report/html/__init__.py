"""The record as one HTML page: self-contained, offline, safe against hostile completions."""

from pm_audit.report.html.page import render, render_comparison

__all__ = ["render", "render_comparison"]
