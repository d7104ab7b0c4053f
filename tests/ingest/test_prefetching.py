"""Rows made by a thread of their own."""

import os
import sys
import threading
import time

import pytest

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.prefetching import NICER, prefetched


def test_prefetched_rows_come_in_order_and_no_more_than_the_depth_ahead():
    made = []

    def rows():
        for number in range(50):
            made.append(number)
            yield number

    for number in prefetched(rows(), depth=2):
        time.sleep(0.001)
        assert len(made) <= number + 1 + 2 + 1  # taken, waiting, and the one that waits to be put
    assert made == list(range(50))


def test_an_error_while_making_rows_comes_out_where_they_are_taken():
    def rows():
        yield 1
        raise DataError("broken")

    taken = prefetched(rows())
    assert next(taken) == 1
    with pytest.raises(DataError, match="broken"):
        next(taken)


def test_who_leaves_early_leaves_no_thread_behind():
    before = threading.active_count()
    closed = threading.Event()

    def rows():
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    taken = prefetched(rows())
    assert next(taken) == b"x"
    assert threading.active_count() == before + 1
    taken.close()
    assert threading.active_count() == before
    assert closed.wait(5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for one thread")
def test_the_thread_that_makes_rows_stands_back_and_the_others_do_not():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, 0)  # on Linux that of the thread that asks

    before = priority()

    def inner():
        yield priority()

    def outer():
        yield priority()
        yield from prefetched(inner())

    made, made_first = prefetched(outer())
    assert (made, made_first) == (min(before + NICER, 19), min(before + 2 * NICER, 19))
    assert priority() == before
