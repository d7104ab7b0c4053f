"""Stage 1b: what counts, in which order, and what is asked about.

In: raw reviews. Out: interactions, sequences (a row a query) with their split, queries of a training.
Open first: filtering.py.
"""
