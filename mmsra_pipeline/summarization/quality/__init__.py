"""What keywords are worth, and text that attacks.

In: keywords, texts, pictures. Out: measures of each item and of the catalogue.
Open first: panel.py.
"""
