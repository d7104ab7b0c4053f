"""Stage 2: metadata to clean text and checked images."""
