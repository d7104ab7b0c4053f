"""Stage 5: who gets what.

In: keywords, signals, a backbone. Out: examples, a tuned recommender, scores, their fusion, top-N lists.
Open first: signals.py.
"""
