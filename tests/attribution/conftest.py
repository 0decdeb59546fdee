"""Fixtures of the engine: tiny PMs of every family, an SAE and a grid."""

from tests.engine_lab import family_pm, lab, llama, pytest_generate_tests

__all__ = ["family_pm", "lab", "llama", "pytest_generate_tests"]
