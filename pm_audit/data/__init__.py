"""Preference sets: pairs of any origin, read into one form."""
