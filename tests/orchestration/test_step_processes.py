"""Steps in processes of their own, in a run that ends well and in one that is killed."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mmsra_pipeline.orchestration.instance import only_refresh, open_instance
from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.run_locks import dataset_lock

TESTS = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def start(paths):
    """Start a run whose step takes so many seconds, and give its process and what its step says."""
    paths.datasets.mkdir(parents=True, exist_ok=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")

    def started(seconds):
        environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "SECONDS_OF_STEP": str(seconds)}
        command = [sys.executable, "-m", "orchestration.stepping"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return process, re.match(r"step (\d+) of (\d+), turn held: True", process.stdout.readline())

    return started


def test_a_step_is_a_process_of_its_own_and_the_run_has_the_turn_of_its_data_set(start, paths):
    process, said = start(0)
    assert said is not None
    assert int(said[1]) != int(said[2]) == process.pid
    assert process.communicate(timeout=300)[0] == "success\n"
    assert not is_locked(dataset_lock(paths, "shop"))


def test_a_step_ends_with_the_process_of_its_run_and_its_place_in_the_pool_is_freed(start, paths):
    process, said = start(300)
    step = psutil.Process(int(said[1]))
    process.kill()
    process.communicate()
    patience = time.monotonic() + 30
    while step.is_running() and step.status() != psutil.STATUS_ZOMBIE and time.monotonic() < patience:
        time.sleep(0.1)
    assert not step.is_running() or step.status() == psutil.STATUS_ZOMBIE
    assert not is_locked(dataset_lock(paths, "shop"))
    with open_instance(paths) as instance:
        storage = instance.event_log_storage
        assert storage.get_concurrency_info("memory").active_slot_count == 1
        with only_refresh(instance, paths):
            assert storage.get_concurrency_info("memory").active_slot_count == 0
