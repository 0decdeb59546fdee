"""The version of pm_audit, also when it is imported from a folder and was never installed."""

__version__ = "0.1.0"
