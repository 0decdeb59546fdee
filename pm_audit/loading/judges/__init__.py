"""Judges: causal language models whose reward is read off the logits of verdict tokens."""
