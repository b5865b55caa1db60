"""The tests of hpcgauge; tools/test runs them on 1, 2 and 4 ranks."""
