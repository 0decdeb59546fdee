"""Sparse autoencoders: one encode and decode, one loader a format."""
