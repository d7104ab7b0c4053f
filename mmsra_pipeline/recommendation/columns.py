"""Names of the columns of signals, in candidate lists and training lists."""

from mmsra_pipeline.config.tree import Slot


def class_column(slot: Slot) -> str:
    """Name the column of a signal's class."""
    return f"class_{slot}"


def signal_column(slot: Slot) -> str:
    """Name the column of a signal as it is."""
    return f"signal_{slot}"
