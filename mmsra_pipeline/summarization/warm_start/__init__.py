"""The warm start of a catalogue: pictures get a meaning, keywords their form.

In: texts, tags and pictures. Out: an adapter with the projector, and what the model then sees.
Open first: training.py.
"""
