"""Files of gauge fields: read and written by all ranks, in the formats of other codes and in our own."""
