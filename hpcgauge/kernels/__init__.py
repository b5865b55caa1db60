"""Kernels: what they read and write, how they are built, how they run over a lattice."""
