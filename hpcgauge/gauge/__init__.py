"""Links, gauge actions, loops, stout smearing, gauge rotations."""
