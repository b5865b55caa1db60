"""Formulas that tests alone need, beside those of hpcgauge/bench/oracle."""
