"""Shards of rows over the actors of a Ray cluster, each with its model in memory.

What a shard holds is decided before it is handed out, so results do not depend on how many workers there are or which
of them computes it. Results come back here, and whoever asks keeps them: no actor writes anything. So a run that is
cancelled or killed leaves what was kept until then, and its actors end with it. A worker that dies takes nothing along
but its shard, which another does again.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final

from mmsra_pipeline.compute.cluster import connected
from mmsra_pipeline.compute.shards import Queue, Shard
from mmsra_pipeline.config.compute import ComputeConfig
from mmsra_pipeline.errors import ComputeError, MmsraError

POLL_SECONDS: Final = 1.0
REASON_CHARS: Final = 200
logger = logging.getLogger(__name__)

Work = Callable[[Sequence[Any]], Sequence[Any]]
"""Computes rows of a shard; one result a row."""
Maker = Callable[[], Work]
"""Makes a worker where it will work. It travels by Ray's pickle, so it is a function of a module with plain values."""


def spread(
    make: Maker, shards: Iterable[Shard], config: ComputeConfig, what: str
) -> Generator[tuple[Shard, Sequence[Any]]]:
    """Compute shards on a Ray cluster and give each with its results, in the order in which they are done.

    A shard whose worker or node dies, or in which an error is raised, is tried again elsewhere, ``config.tries`` times;
    then its rows are tried one by one, and what fails still is left out. Close the iterator to end early.

    Args:
        make: makes a worker; an error in it that a user can fix ends the work at once.
        shards: read as workers become free.
        config: address, number and size of workers, tries.
        what: name of the work in messages.

    Raises:
        DataError: at the end, naming the rows that failed each time.
        ComputeError: if no worker can be had, or each dies while it begins.
        ConfigError: if Ray is not installed or there is no cluster.
    """
    queue = Queue(shards, config.tries)
    workers = queue.waiting(config.workers)
    if not workers:
        return
    with connected(config):
        pool = _Pool(make, config, what, workers)
        try:
            yield from pool.run(queue)
        finally:
            pool.close()


class _Worker:
    """What an actor is: nothing until it begins, so that an error of that comes back as itself."""

    def begin(self, make: Maker) -> str:
        """Make the worker; give the name of the node."""
        import os

        self._work = make()
        return os.uname().nodename

    def do(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Compute the rows of a shard."""
        return self._work(rows)


class _Pool:
    """Actors, and what each is at."""

    def __init__(self, make: Maker, config: ComputeConfig, what: str, workers: int) -> None:
        import ray

        self._ray: Any = ray
        self._make, self._config, self._what = make, config, what
        self._begun_in_vain = 0
        self._idle: list[Any] = []
        self._at: dict[Any, tuple[Any, Shard | None]] = {}  # by reference of the answer; None: it begins
        self._seen = time.monotonic()
        for _ in range(workers):
            self._start()

    def run(self, queue: Queue) -> Iterator[tuple[Shard, Sequence[Any]]]:
        """Hand out shards, and give results as they come."""
        self._hand_out(queue)
        while any(shard is not None for _, shard in self._at.values()) or queue.waiting():
            ready, _ = self._ray.wait(list(self._at), num_returns=1, timeout=POLL_SECONDS)
            if not ready:
                self._check_waiting()
            for answer in ready:
                done = self._answered(answer, queue)
                if done is not None:
                    yield done
            self._hand_out(queue)
        queue.check(self._what)

    def close(self) -> None:
        """End all actors, whatever they are at."""
        for worker in [*self._idle, *(worker for worker, _ in self._at.values())]:
            with contextlib.suppress(Exception):  # it or the cluster is gone already
                self._ray.kill(worker)

    def _start(self) -> None:
        options = {"num_cpus": self._config.cpus_per_worker, "num_gpus": self._config.gpus_per_worker or None}
        worker = (
            self._ray.remote(_Worker)
            .options(max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD", **options)
            .remote()
        )
        self._at[worker.begin.remote(self._make)] = (worker, None)

    def _hand_out(self, queue: Queue) -> None:
        while self._idle and (shard := queue.next()) is not None:
            worker = self._idle.pop()
            self._at[worker.do.remote(shard.rows)] = (worker, shard)

    def _answered(self, answer: Any, queue: Queue) -> tuple[Shard, Sequence[Any]] | None:
        """Take what a worker answers; where it died, another begins in its place."""
        worker, shard = self._at.pop(answer)
        try:
            found = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            reason = _short(error.cause if isinstance(error.cause, Exception) else error)
            if shard is None:
                self._ray.kill(worker)
                raise _of_begin(error, self._what) from None
            logger.warning("%s: a shard (%s) failed: %s", self._what, _names(shard), reason)
            self._idle.append(worker)
            queue.failed(shard, reason)
            return None
        except self._ray.exceptions.RayError as error:
            self._died(worker, shard, _short(error), queue)
            return None
        self._seen = time.monotonic()
        self._idle.append(worker)
        if shard is None:
            self._begun_in_vain = 0
            logger.info("%s: a worker begins on %s", self._what, found)
            return None
        queue.done(shard)
        return shard, found

    def _died(self, worker: Any, shard: Shard | None, reason: str, queue: Queue) -> None:
        with contextlib.suppress(Exception):  # of one that is only out of reach
            self._ray.kill(worker)
        if shard is None:
            self._begun_in_vain += 1
            if self._begun_in_vain >= self._config.tries:
                raise ComputeError(
                    f"{self._what}: {self._begun_in_vain} workers died one after the other while they began, the last "
                    f"one so: {reason}. What was done is kept. Give a worker more memory (fewer compute.workers on a "
                    "node), look into Ray's logs of that node, and run again."
                )
            logger.warning("%s: a worker died while it began: %s", self._what, reason)
        else:
            logger.warning("%s: a worker died; its shard (%s) is done again: %s", self._what, _names(shard), reason)
            queue.failed(shard, f"its worker died: {reason}")
        self._start()

    def _check_waiting(self) -> None:
        """See that somebody works.

        Raises:
            ComputeError: if for ``compute.start_seconds`` all that there is waits for room in the cluster.
        """
        if self._idle or any(shard is not None for _, shard in self._at.values()):
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > self._config.start_seconds:
            has = {name: value for name, value in self._ray.cluster_resources().items() if name in ("CPU", "GPU")}
            raise ComputeError(
                f"{self._what}: no worker began in {self._config.start_seconds} s (compute.start_seconds). One needs "
                f"{self._config.cpus_per_worker} CPUs and {self._config.gpus_per_worker:g} GPUs, and the cluster has "
                f"{has} in all. What was done is kept. Add nodes, ask for less, or wait longer, and run again."
            )


def _of_begin(error: Any, what: str) -> Exception:
    """Return what a worker raised when it began, as itself if a user can fix it."""
    cause = error.cause
    if isinstance(cause, MmsraError):
        return cause
    return ComputeError(f"{what}: a worker could not begin: {_short(cause)}. See that each node has the same packages.")


def _names(shard: Shard) -> str:
    more = len(shard.names) - 1
    return repr(shard.names[0]) + (f" and {more} more" if more else "")


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1] if isinstance(error, MmsraError) else lines[0]}"[:REASON_CHARS]
