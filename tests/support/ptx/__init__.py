"""PTX, executed with NumPy: a test instrument that stands in for a card. It is no device, and nothing is timed by it."""
