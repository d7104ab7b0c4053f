"""Stage 4: what other users did, as of a moment.

In: sequences. Out: similar users, co-occurrence, candidates out of the whole catalogue.
Open first: first_stage.py.
"""
