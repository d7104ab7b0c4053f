"""Shards of rows, how often each was tried, and what is said of a row that no worker survives."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mmsra_pipeline.errors import DataError

NAMED: Final = 5


@dataclass(frozen=True, eq=False)
class Shard:
    """Rows that one worker computes together."""

    names: tuple[str, ...]
    """Of the rows, for people."""
    rows: tuple[Any, ...]
    """Plain values that travel to another machine."""

    def alone(self) -> "Iterator[Shard]":
        """Give each row as a shard of its own."""
        return (Shard((name,), (row,)) for name, row in zip(self.names, self.rows, strict=True))


class Queue:
    """Shards that wait, those that failed first. A shard is read from its source only when a worker is free for it."""

    def __init__(self, shards: Iterable[Shard], tries: int) -> None:
        self._source = iter(shards)
        self._again: deque[Shard] = deque()
        self._tries = tries
        self._failed: dict[Shard, int] = {}
        self._given_up: list[tuple[str, str]] = []

    def next(self) -> Shard | None:
        """Return a shard to compute; None if none is left."""
        return self._again.popleft() if self._again else next(self._source, None)

    def waiting(self, most: int = 1) -> int:
        """Return how many shards are left to compute, as far as ``most``."""
        while len(self._again) < most and (shard := next(self._source, None)) is not None:
            self._again.append(shard)
        return min(len(self._again), most)

    def done(self, shard: Shard) -> None:
        """Forget how often a shard failed."""
        self._failed.pop(shard, None)

    def failed(self, shard: Shard, reason: str) -> None:
        """Put a shard in line again; after so many tries its rows one by one; a row after so many tries no more."""
        self._failed[shard] = self._failed.get(shard, 0) + 1
        if self._failed[shard] < self._tries:
            self._again.append(shard)
            return
        self.done(shard)
        if len(shard.rows) > 1:
            self._again.extend(shard.alone())
        else:
            self._given_up.append((shard.names[0], reason))

    def check(self, what: str) -> None:
        """See that no row was given up.

        Raises:
            DataError: naming the rows that were.
        """
        if self._given_up:
            raise DataError(
                f"{what}: {len(self._given_up)} rows failed {self._tries} times each, on worker after worker: "
                f"{_named(self._given_up)}. All others are done and kept. Correct or remove these rows, give workers "
                "more memory, or set compute.engine: local to see the error where it happens; then run again."
            )


def _named(rows: Sequence[tuple[str, str]]) -> str:
    named = "; ".join(f"{name!r} ({reason})" for name, reason in rows[:NAMED])
    return named + (f"; and {len(rows) - NAMED} more" if len(rows) > NAMED else "")
