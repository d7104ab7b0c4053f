import gc
import threading
import time
from pathlib import Path

from mmsra_pipeline.telemetry.memory import PROC, SAMPLE_SECONDS, PeakMemory

LARGE = 300_000_000


def took_and_gave_back() -> None:
    """Take memory and free it at once: only a peak has seen it."""
    block = bytearray(LARGE)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(2 * SAMPLE_SECONDS)


def without_permission(tmp_path: Path) -> Path:
    """A /proc/self in which the peak cannot be reset."""
    (tmp_path / "status").symlink_to(PROC / "status")
    (tmp_path / "clear_refs").mkdir()  # which nobody may write to, root neither
    return tmp_path


def test_the_peak_has_what_was_freed_again_and_a_later_one_does_not():
    first = PeakMemory()
    before = first.gb()
    took_and_gave_back()
    assert first.gb() - before > 0.9 * LARGE / 1e9
    assert PeakMemory().gb() - before < 0.1 * LARGE / 1e9


def test_where_the_peak_cannot_be_reset_a_thread_looks_and_ends_with_its_object(tmp_path):
    running = set(threading.enumerate())  # others of the process may end meanwhile
    peak = PeakMemory(without_permission(tmp_path))
    [watching] = set(threading.enumerate()) - running
    before = peak.gb()
    took_and_gave_back()
    assert peak.gb() - before > 0.9 * LARGE / 1e9
    del peak
    gc.collect()
    watching.join(timeout=60)
    assert not watching.is_alive()


def test_a_system_that_does_not_tell_gives_0(tmp_path):
    assert PeakMemory(tmp_path / "no_proc").gb() == 0.0
