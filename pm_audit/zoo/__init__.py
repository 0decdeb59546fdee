"""The default PM, its SAEs and cards, and the recipes that made them."""
