"""Recipes: how the default PM and its SAEs were made, and PMs whose truth is known."""
