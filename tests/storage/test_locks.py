import os
import signal
import subprocess
import sys
import time

from mmsra_pipeline.storage.locks import is_locked, locked
from mmsra_pipeline.storage.processes import lives

HOLDER = """
import sys, time
from pathlib import Path
from mmsra_pipeline.storage.locks import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""
PARENT = """
import os, sys, time
from pathlib import Path
from mmsra_pipeline.storage.locks import locked
with locked(Path(sys.argv[1]), "it"):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""
INTERRUPTED = """
import signal, sys
from pathlib import Path
from mmsra_pipeline.storage.locks import locked
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
print("waits", flush=True)
try:
    with locked(Path(sys.argv[1]), "it"):
        print("held", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def started(code, path):
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def test_a_lock_is_free_as_soon_as_its_process_is_killed(tmp_path):
    path = tmp_path / "work" / ".lock"
    assert not is_locked(path)
    holder = started(HOLDER, path)
    assert is_locked(path)
    holder.kill()
    holder.wait()
    assert not is_locked(path)
    with locked(path, "it"):
        assert is_locked(path)
    assert not is_locked(path)


def test_a_child_that_outlives_the_holder_does_not_keep_its_lock(tmp_path):
    path = tmp_path / ".lock"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    try:
        while is_locked(path):
            assert lives(child)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert lives(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_waiting_for_a_lock_can_be_interrupted_at_once(tmp_path):
    with locked(tmp_path / ".lock", "it"):
        waiting = started(INTERRUPTED, tmp_path / ".lock")
        time.sleep(1)
        begun = time.monotonic()
        waiting.send_signal(2)
        out, _ = waiting.communicate(timeout=30)
    assert out == "interrupted\n"
    assert time.monotonic() - begun < 10
