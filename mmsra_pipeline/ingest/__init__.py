"""Stage 1a: source files of any format.

In: a `DatasetSpec`. Out: raw reviews, raw items, and rejects with file, line and reason.
Open first: reading.py.
"""
