"""Independent NumPy formulas for global arrays in one process: the reference that kernels and layers are compared with.

Links and matrix fields are complex128 arrays (mu, t, z, y, x, row, column), vectors (t, z, y, x, color); with fewer
dimensions the first site axes are dropped. Direction mu = 0 is x, the last site axis. Extents are written (x, y, z, t).
"""
