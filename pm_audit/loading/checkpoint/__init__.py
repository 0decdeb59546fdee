"""Checkpoints: what a model's folder holds and declares, read without running any of it."""
