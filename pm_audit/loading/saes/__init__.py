"""Formats of sparse autoencoders, a file each, and their registry."""
