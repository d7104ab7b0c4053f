"""Any image-text-to-text model of transformers.

In: prompts of text and pictures. Out: answers, likelihoods of answers, scores and losses of groups of candidates.
Open first: model.py.
"""
