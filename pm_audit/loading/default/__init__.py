"""The default PM: its adapter, head and SAEs, and the base from PyPI."""
