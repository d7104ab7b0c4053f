"""How Dagster's work runs, resumes, reports and is cleaned up.

In: an instance, an installation, definitions. Out: what an asset works with (`stage.Stage`), refreshes, reports.
Open first: stage.py.
"""
