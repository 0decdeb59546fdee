"""Verified features as repairs: tried on preferences, judged on others, exported as files."""
