"""The warm start of a catalogue: pictures get a meaning, keywords their form."""
