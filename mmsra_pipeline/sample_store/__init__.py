"""The built-in data set: a made-up shop whose structure is known."""
