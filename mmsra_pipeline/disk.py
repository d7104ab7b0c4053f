"""Free space, asked for before long work."""

import shutil
from pathlib import Path

from mmsra_pipeline.errors import NoSpaceError

GB = 1e9


def check_free(folder: Path, least_gb: float, purpose: str) -> None:
    """See that the disk of ``folder``, which need not be there yet, has space for ``purpose``.

    Raises:
        NoSpaceError: saying how much is free and how to get more.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free / GB
    if free < least_gb:
        raise NoSpaceError(
            f"{purpose} needs {least_gb:g} GB of free space and {there} has {free:.1f} GB. See what "
            "`mmsra gc --dry-run` would remove, set MMSRA_ROOT to a folder on a larger disk, or lower "
            "retention.min_free_gb."
        )
