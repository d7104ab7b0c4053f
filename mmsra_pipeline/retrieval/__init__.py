"""Stage 4: collaborative signals, as of a point in time."""
