"""Whose turn it is: at most so many jobs at once per host, with pauses, and failed ones again later."""

import heapq
import itertools
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Host(Generic[T]):
    pause: float
    jobs: list[tuple[float, int, T]] = field(default_factory=list)
    """Heap of waiting jobs: not before this time, order of arrival, job."""
    running: int = 0
    begun: float = -math.inf
    """When the last job began."""
    rests_until: float = -math.inf
    turn: float = math.inf
    """Its place in line; infinite if it does not stand there."""
    failures: int = 0
    left_alone: bool = False

    @property
    def free_at(self) -> float:
        """When the next job may begin, as far as places and time go."""
        return max(self.jobs[0][0], self.begun + self.pause, self.rests_until)


class HostQueue(Generic[T]):
    """Jobs of many hosts for many threads. No thread waits for a host while another host could be asked."""

    def __init__(self, *, per_host: int, pause: float) -> None:
        self._per_host = per_host
        self._pause = pause
        self._hosts: dict[str, _Host[T]] = {}
        self._line: list[tuple[float, str]] = []
        self._numbers = itertools.count()
        self._unfinished = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, host: str, job: T) -> None:
        """Add a job."""
        with self._changed:
            self._unfinished += 1
            self._add(self._hosts.setdefault(host, _Host(self._pause)), host, job, 0.0)

    def take(self) -> tuple[str, T] | None:
        """Wait for the next job and give it with its host; None once all are finished, or after ``close``."""
        with self._changed:
            while self._unfinished and not self._closed:
                wait = self._line[0][0] - time.monotonic() if self._line else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                elif (host := self._next()) and (job := self._begun(host)):
                    return host, job[0]
        return None

    def finish(self, host: str) -> None:
        """A job that was taken is done."""
        with self._changed:
            self._unfinished -= 1
            self._end(host)

    def again(self, host: str, job: T, seconds: float, *, whole_host: bool = False) -> bool:
        """A job that was taken is to be tried again after so long, the whole host with it if it asked for that.

        Returns:
            False if the host is left alone by now; the job is finished then.
        """
        with self._changed:
            found = self._hosts[host]
            if found.left_alone:
                self._unfinished -= 1
            else:
                ready_at = time.monotonic() + seconds
                found.rests_until = max(found.rests_until, ready_at if whole_host else -math.inf)
                self._add(found, host, job, ready_at)
            self._end(host)
            return not found.left_alone

    def slow_down(self, host: str, seconds: float) -> None:
        """Let no two jobs of a host begin closer together than this."""
        with self._changed:
            self._hosts[host].pause = max(self._hosts[host].pause, seconds)

    def count_failure(self, host: str) -> int:
        """Note that a host failed, and give how often it did in a row."""
        with self._changed:
            self._hosts[host].failures += 1
            return self._hosts[host].failures

    def count_answer(self, host: str) -> None:
        """Note that a host answered: earlier failures no longer count."""
        with self._changed:
            self._hosts[host].failures = 0

    def leave_alone(self, host: str) -> list[T]:
        """Take out all waiting jobs of a host and give them; none is tried again."""
        with self._changed:
            found = self._hosts[host]
            found.left_alone = True
            dropped, found.jobs = [job for _, _, job in found.jobs], []
            self._unfinished -= len(dropped)
            self._changed.notify_all()
            return dropped

    def close(self) -> None:
        """Return no further jobs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _add(self, found: _Host[T], host: str, job: T, ready_at: float) -> None:
        heapq.heappush(found.jobs, (ready_at, next(self._numbers), job))
        self._stand_in_line(host)

    def _next(self) -> str | None:
        """Take the first host out of the line; None for a place that it left for an earlier one."""
        turn, host = heapq.heappop(self._line)
        if turn != self._hosts[host].turn:
            return None
        self._hosts[host].turn = math.inf
        return host

    def _begun(self, host: str) -> tuple[T] | None:
        """Begin the first job of a host if its time has come; else the host stands in line again."""
        found, now = self._hosts[host], time.monotonic()
        job = None
        if found.jobs and found.running < self._per_host and found.free_at <= now:
            job = (heapq.heappop(found.jobs)[2],)
            found.running += 1
            found.begun = now
        self._stand_in_line(host)
        return job

    def _end(self, host: str) -> None:
        self._hosts[host].running -= 1
        self._stand_in_line(host)

    def _stand_in_line(self, host: str) -> None:
        found = self._hosts[host]
        if found.jobs and found.running < self._per_host:
            turn = found.free_at
            if turn < found.turn:
                found.turn = turn
                heapq.heappush(self._line, (turn, host))
        self._changed.notify_all()
