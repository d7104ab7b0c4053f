"""The command `mmsra`.

In: words. Out: text, or JSON on stdout; errors as one message.
Open first: app.py.
"""
