"""Planted PMs: models whose true contributions are known without running them."""
