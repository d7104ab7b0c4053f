"""Whatever makes rows and whatever uses them run side by side."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def prefetched(rows: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Pass ``rows`` through, made by a thread of their own up to ``depth`` ahead; its errors come out here."""
    made: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(entry: tuple[T | None, BaseException | None, bool]) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                made.put(entry, timeout=0.1)
                return True
        return False

    def work() -> None:
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
            row, error, ended = made.get()
            if error is not None:
                raise error
            if ended:
                return
            yield row  # type: ignore[misc]  # None only at the end
    finally:
        stopped.set()
        thread.join()
