"""Hypotheses as pytest items: imported only under ``--pm-audit``."""
