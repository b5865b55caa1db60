"""Kernels of the catalogue on random inputs."""
