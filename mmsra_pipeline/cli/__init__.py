"""The command `mmsra`."""
