import os
import subprocess
import time

import psutil

from mmsra_pipeline.storage import processes
from mmsra_pipeline.storage.processes import lives, lives_since, machine_memory


def test_a_process_lives_until_it_has_ended():
    process = subprocess.Popen(["sleep", "60"])
    assert lives(process.pid)
    process.kill()
    process.wait()
    assert not lives(process.pid)
    assert not lives_since(process.pid, time.time())


def test_a_process_that_ended_and_that_nobody_waited_for_does_not_live():
    process = subprocess.Popen(["true"])
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not lives(process.pid)
    assert not lives_since(process.pid, time.time())
    process.wait()


def test_a_process_that_began_after_the_moment_is_another_one_of_that_number():
    assert lives_since(os.getpid(), time.time())
    assert not lives_since(os.getpid(), time.time() - 10**6)


def test_where_the_system_does_not_say_when_a_process_began_its_number_decides(monkeypatch):
    def denied(process):
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "create_time", denied)
    assert lives_since(os.getpid(), 0)


def test_memory_is_what_the_container_is_allowed(tmp_path, monkeypatch):
    own = machine_memory()
    assert own > 1e8
    bound = tmp_path / "memory.max"
    monkeypatch.setattr(processes, "CGROUP", (tmp_path / "none", bound))
    bound.write_text("max\n")
    assert machine_memory() >= own
    bound.write_text("50000000\n")
    assert machine_memory() == 50_000_000
