"""Stage 3: items to keywords.

In: text and pictures of items, a backbone. Out: keywords, their form given by construction.
Open first: writing.py.
"""
