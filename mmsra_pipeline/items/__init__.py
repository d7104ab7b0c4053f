"""Stage 2: what the catalogue says and shows.

In: raw items. Out: clean text, checked pictures, near-duplicates.
Open first: images.py.
"""
