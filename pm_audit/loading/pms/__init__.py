"""Families of preference models, a file each, and their registry."""
