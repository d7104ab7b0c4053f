"""Progress of long work, as log lines with rate and remaining time.

Lines go to ``logging``, so the terminal and the run's log in Dagster both have them, and no more often than
``EVERY_SECONDS``: a log that floods is not read.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

EVERY_SECONDS = 10.0
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Progress:
    """Counts work done and says so now and then."""

    def __init__(self, what: str, total: int, unit: str = "items") -> None:
        self._what = what
        self._total = total
        self._unit = unit
        self._done = 0
        self._start = self._said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add ``count`` to the work done."""
        self._done += count
        now = time.monotonic()
        finished = self._done >= self._total
        if now - self._said < EVERY_SECONDS and not (finished and now - self._start >= EVERY_SECONDS):
            return
        self._said = now
        rate = self._done / max(now - self._start, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        remark = f" · {note}" if note else ""
        logger.info(
            "%s: %d of %d %s · %.1f/s · %.0f s left%s",
            self._what, self._done, self._total, self._unit, rate, left, remark,
        )  # fmt: skip


def batches(rows: Sequence[T], size: int, what: str, unit: str = "items") -> Iterator[Sequence[T]]:
    """Cut ``rows`` into batches and report progress after each."""
    progress = Progress(what, len(rows), unit)
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        yield batch
        progress.advance(len(batch))


def tracked(rows: Iterable[T], total: int, what: str, unit: str = "items") -> Iterator[T]:
    """Pass ``rows`` through and report progress after each."""
    progress = Progress(what, total, unit)
    for row in rows:
        yield row
        progress.advance()
