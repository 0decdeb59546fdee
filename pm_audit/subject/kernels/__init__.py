"""Kernels: attention, products, norms and rotations, as each processor runs them fastest."""
