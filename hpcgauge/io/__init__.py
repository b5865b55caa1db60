"""Files: gauge fields of other codes, checkpoints, the record of a run and its folder."""
