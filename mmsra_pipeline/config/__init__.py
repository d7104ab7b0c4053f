"""Settings: a tree with one file a stage, how it is loaded, presets, and the files of data sets."""
