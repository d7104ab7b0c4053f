"""One module a source format; `FORMATS` in it is how it is found.

In: files of that format. Out: tables of `raw_tables.READ_REVIEWS` and `READ_ITEMS`.
Open first: tables.py.
"""
