"""The auditing game; see ``__main__``."""
