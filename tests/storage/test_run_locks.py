import subprocess
import sys

import pytest

from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock, turn_of

RUN = """
import logging, sys, time
from pathlib import Path
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import turn_of
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="INFO")
root, dataset = sys.argv[1:]
with turn_of(Paths(Path(root)), dataset):
    print("begins", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


@pytest.fixture
def begin(paths):
    """Start a process that computes a data set, and give what it says first."""
    processes = []

    def started(dataset):
        command = [sys.executable, "-c", RUN, str(paths.root), dataset]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def test_one_process_a_dataset_and_a_kill_ends_its_turn(begin, paths):
    first, said = begin("shop")
    assert said == "begins"
    second, said = begin("shop")
    assert said == "waiting for another process to be done with the data set shop"
    first.kill()
    assert second.stdout.readline() == "begins\n"
    assert is_locked(dataset_lock(paths, "shop"))


def test_who_has_the_turn_goes_on_and_keeps_it_to_the_end_of_the_outer_block(paths):
    lock = dataset_lock(paths, "shop")
    with turn_of(paths, "shop"):
        with turn_of(paths, "shop"):
            assert is_locked(lock)
        assert is_locked(lock)
    assert not is_locked(lock)
    with turn_of(paths, "shop"):
        assert is_locked(lock)
