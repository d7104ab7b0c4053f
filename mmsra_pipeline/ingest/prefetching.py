"""Whatever makes rows and whatever uses them run side by side."""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
NICER = 5  # a third of the processor time of a thread that does not stand back, where there is not enough for both


def prefetched(rows: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Pass ``rows`` through, made by a thread of their own up to ``depth`` ahead; its errors come out here.

    Where processors are short that thread stands back: it is ahead, and what it has made waits for who uses it.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(entry: tuple[T | None, BaseException | None, bool]) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=0.1)
                return True
        return False

    def work() -> None:
        _stand_back()
        try:
            for row in rows:
                if not put((row, None, False)):
                    return
            put((None, None, True))
        except BaseException as error:  # noqa: BLE001  # raised again where the rows are taken
            put((None, error, True))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            row, error, ended = ready.get()
            if error is not None:
                raise error
            if ended:
                return
            yield row  # type: ignore[misc]  # None only at the end
    finally:
        stopped.set()
        thread.join()


def _stand_back() -> None:
    """Return this thread a lower priority, which only Linux has for one thread. Threads that it starts inherit it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # not worth more than some speed
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER)
