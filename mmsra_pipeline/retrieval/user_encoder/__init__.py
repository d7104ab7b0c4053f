"""The sequential model (sec. 3.4).

In: histories of item ids. Out: user vectors, and a score of each item; out of fold for training queries.
Open first: model.py.
"""
