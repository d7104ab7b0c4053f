"""What lies on disk or in an object store.

In: rows, folders, bytes. Out: slices of tables and versions of artifacts, the old or the new whole, and locks.
Open first: tables.py.
"""
