from __future__ import annotations

from tests.tiny_pms import save_classifier, tiny_config, tokenizer

__all__ = ["save_classifier", "tiny_config", "tokenizer"]
