"""What is checked of the rows and artifacts that an asset made, before they become current, and again when asked.

In: a stage, whose own tables and artifact are the staged ones. Out: results of checks.
Open first: again.py.
"""
