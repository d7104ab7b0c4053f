"""Stage 1a: source files of any format to raw reviews, raw items and rejects."""
