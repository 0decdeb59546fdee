"""Text: how dialogues are written out, and what tokens transformers makes of them."""
