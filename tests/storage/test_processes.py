import os
import subprocess
import time

from mmsra_pipeline.storage import processes
from mmsra_pipeline.storage.processes import lives, lives_since


def test_a_process_lives_until_it_has_ended():
    process = subprocess.Popen(["sleep", "60"])
    assert lives(process.pid)
    process.kill()
    process.wait()
    assert not lives(process.pid)
    assert not lives_since(process.pid, time.time())


def test_a_process_that_began_after_the_moment_is_another_one_of_that_number():
    assert lives_since(os.getpid(), time.time())
    assert not lives_since(os.getpid(), time.time() - 10**6)


def test_where_the_system_does_not_say_when_a_process_began_its_number_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert lives_since(os.getpid(), 0)
