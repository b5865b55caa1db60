"""Gauge covariant networks: layers with their pullback, CovNet, CASK."""
