"""Workers without a model, for the tests of a cluster: what is wrong with a row stands in the row."""

import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path

from mmsra_pipeline.errors import MissingInputError


def doubling(folder: Path):
    """Doubles numbers; each computation leaves a file in the folder."""
    return functools.partial(_double, folder)


def _double(folder: Path, rows: Sequence[str]) -> list[int]:
    tried = folder / f"{'-'.join(row.partition(' ')[0] for row in rows)}.{time.time_ns()}"
    tried.touch()
    found = []
    for row in rows:
        number, _, fault = row.partition(" ")
        if fault == "kills" or (fault == "kills once" and len(list(folder.glob(f"{tried.stem}.*"))) == 1):
            os._exit(1)
        if fault == "fails":
            raise ValueError(f"nothing doubles {number}")
        if fault == "sleeps":
            time.sleep(60)
        found.append(2 * int(number))
    return found


def refusing():
    """Finds that something is missing."""
    raise MissingInputError("no weights here. Bring them.")


def dying():
    """Ends the process."""
    os._exit(1)
