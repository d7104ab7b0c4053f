"""Stage 6: how well all rows rank.

In: queries with their next item, scores. Out: candidate lists, metrics with intervals, paired differences.
Open first: lists.py.
"""
