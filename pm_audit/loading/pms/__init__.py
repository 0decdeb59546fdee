"""Preference models: loaders, text formats, and the decoder that the engine drives."""
