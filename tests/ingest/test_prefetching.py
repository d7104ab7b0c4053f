"""Rows made by a thread of their own."""

import os
import sys
import threading
import time

import pytest

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.prefetching import NICER, prefetched


def test_prefetched_rows_come_in_order_and_no_more_than_the_depth_ahead():
    produced = []

    def rows():
        for number in range(50):
            produced.append(number)
            yield number

    for number in prefetched(rows(), depth=2):
        time.sleep(0.001)
        assert len(produced) <= number + 1 + 2 + 1  # taken, waiting, and the one that waits to be put
    assert produced == list(range(50))


def test_an_error_while_making_rows_comes_out_where_they_are_taken():
    def rows():
        yield 1
        raise DataError("broken")

    rows_ahead = prefetched(rows())
    assert next(rows_ahead) == 1
    with pytest.raises(DataError, match="broken"):
        next(rows_ahead)


def test_who_leaves_early_leaves_no_thread_behind():
    before = threading.active_count()
    closed = threading.Event()

    def rows():
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    rows_ahead = prefetched(rows())
    assert next(rows_ahead) == b"x"
    assert threading.active_count() == before + 1
    rows_ahead.close()
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

    nice, nice_of_inner = prefetched(outer())
    assert (nice, nice_of_inner) == (min(before + NICER, 19), min(before + 2 * NICER, 19))
    assert priority() == before
