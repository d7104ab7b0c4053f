"""The report: pages that a person looks at, in one folder that needs no server and no network.

In: what was measured, cases with their lists, items with pictures. Out: a folder of HTML, style, script and pictures.
Open first: pages.py.
"""
