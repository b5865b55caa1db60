"""Where data lives: devices, lattices with their defaults, fields."""
