"""Damaged files of every kind, and the reading of them in processes that may crash or hang."""
