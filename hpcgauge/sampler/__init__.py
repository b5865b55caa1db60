"""Integrators, hybrid Monte Carlo and the chain."""
