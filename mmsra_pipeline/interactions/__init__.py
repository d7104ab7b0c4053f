"""Stage 1: reviews to interactions, sequences and splits."""
