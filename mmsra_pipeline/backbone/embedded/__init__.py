"""The default backbone, which needs no hub.

In: weights that packages ship, and the warm start beside this file. Out: a checkpoint folder; drawings.
Open first: build.py.
"""
