"""PTX, executed with NumPy: a test instrument that stands in for a card, but is no device."""
