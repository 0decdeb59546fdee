"""Recipes that train preference models and SAEs."""
