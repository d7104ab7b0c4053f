import subprocess
import sys
import time

import pytest

from mmsra_pipeline.storage import run_locks as turns
from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock, turn_of

RUN = """
import logging, sys, time
from pathlib import Path
from mmsra_pipeline.storage import run_locks as turns
from mmsra_pipeline.storage.paths import Paths
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="INFO")
root, dataset, memory = sys.argv[1:]
turns.machine_memory = lambda: int(float(memory) * 1e9)
with turns.turn_of(Paths(Path(root)), dataset, 6):
    print("begins", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


@pytest.fixture
def begin(paths):
    """Start a process that computes a data set, where a run needs 6 GB of memory, and give what it says first."""
    processes = []

    def started(dataset, memory=13):
        command = [sys.executable, "-c", RUN, str(paths.root), dataset, str(memory)]
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


def test_as_many_datasets_at_a_time_as_fit_into_memory(begin):
    (first, said), (_, also) = begin("shop"), begin("films")
    assert said == also == "begins"
    third, said = begin("books")
    assert said == "waiting for memory: 2 at work, as many as fit into 13.0 GB (limits.run_memory_gb: 6)"
    time.sleep(3 * turns.POLL_SECONDS)
    assert third.poll() is None
    first.kill()
    assert third.stdout.readline() == "begins\n"


def test_one_dataset_is_computed_however_little_memory_there_is(begin):
    assert begin("shop", memory=1)[1] == "begins"
    assert begin("films", memory=1)[1].startswith("waiting for memory: 1 at work")


def test_who_has_the_turn_goes_on_and_keeps_it_to_the_end_of_the_outer_block(paths):
    lock = dataset_lock(paths, "shop")
    with turn_of(paths, "shop", 1e9):
        with turn_of(paths, "shop", 1e9):
            assert is_locked(lock)
        assert is_locked(lock)
    assert not is_locked(lock)
    with turn_of(paths, "shop", 1e9):
        assert is_locked(lock)
