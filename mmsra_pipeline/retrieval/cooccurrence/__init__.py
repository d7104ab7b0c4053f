"""Who took an item soon after another.

In: training interactions. Out: an index of events for evidence, first stage and baseline; the neighbor table.
Open first: index.py.
"""
