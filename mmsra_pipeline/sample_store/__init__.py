"""The built-in data set: a made-up shop whose structure is known.

In: a size and a seed. Out: tables and pictures, and how well anything could rank them.
Open first: shop.py.
"""
