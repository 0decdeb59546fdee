"""Versions of packages, as a record holds them; ``unknown`` if a package was never installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pm_audit.version import __version__

UNKNOWN = "unknown"
"""Of a package that is imported from a folder and was never installed."""


def versions_of(*packages: str) -> dict[str, str]:
    """Return the version of each package by its name in the index; this project's is its own."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    if package == "pm-audit":
        # the code that runs, which a folder on the path may have put before an installed one
        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN
