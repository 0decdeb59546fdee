"""Kernels: attention, matrix products, norms and rotations, chosen for each processor."""
