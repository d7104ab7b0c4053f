"""Seconds that are left, what they went into, and what was left out for want of them."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mmsra_pipeline.telemetry.tracking import NullTracker

RESULTS = "results.json"


class Budget:
    """A clock of a study, and its results: each is in ``out`` as soon as it is there."""

    def __init__(self, seconds: float, out: Path) -> None:
        self._end = time.monotonic() + seconds
        self._out = out
        self._results: dict[str, Any] = {"budget": seconds, "seconds": {}, "left_out": []}
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, and say what it took."""
        start = time.monotonic()
        yield
        took = round(time.monotonic() - start, 1)
        self._results["seconds"][name] = took
        print(f"{name:32}{took:8.1f} s, {self.left:7.1f} s left", flush=True)
        self._write()

    def note(self, **results: Any) -> None:
        """Keep numbers."""
        self._results |= results
        self._write()

    def leave_out(self, what: str) -> None:
        """Say that something was not done, or less of it, for want of seconds."""
        self._results["left_out"].append(what)
        print(f"left out: {what}", flush=True)
        self._write()

    def keep(self, name: str, rows: pd.DataFrame) -> None:
        """Keep a table."""
        rows.to_parquet(self._out / f"{name}.parquet", index=False)

    def affordable(self, what: str, asked: int, seconds_each: float, room: float) -> int:
        """Return how many of the ``asked`` ones go into ``room`` seconds, and note it where these are fewer."""
        count = max(0, min(asked, int(room / seconds_each)))
        if count < asked:
            self.leave_out(f"{asked - count} of {asked} {what}: {seconds_each:.2f} s each, {room:.0f} s for them")
        return count

    def _write(self) -> None:
        (self._out / RESULTS).write_text(json.dumps(self._results, indent=1))


class Stopwatch(NullTracker):
    """A tracker that notes when a training step is logged."""

    def __init__(self) -> None:
        self._times = [time.monotonic()]

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:  # noqa: ARG002  (a tracker's signature)
        """Note the time, at each step's end."""
        if "loss" in metrics:
            self._times.append(time.monotonic())

    @property
    def seconds(self) -> float:
        """Of a step, the mean without the first, which warms up."""
        first = min(1, len(self._times) - 2)
        return (self._times[-1] - self._times[first]) / (len(self._times) - 1 - first)
