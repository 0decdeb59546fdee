"""Fixtures of tiny language models."""

from tests.tiny_judges import save_judge
from tests.tiny_pms import save_classifier, tiny_config, tokenizer

__all__ = ["save_classifier", "save_judge", "tiny_config", "tokenizer"]
