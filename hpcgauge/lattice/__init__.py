"""Extents, process grids, site order, neighbour and ghost lists: integers only, no MPI."""
