"""Shards of rows over a Ray cluster of two nodes on this machine."""

import contextlib
import functools
import logging
import signal
import time
from pathlib import Path

import pytest
from compute import ray_workers
from compute.ray_cluster import cluster_of

from mmsra_pipeline.compute.shards import Queue, Shard
from mmsra_pipeline.compute.spreading import spread
from mmsra_pipeline.config.compute import ComputeConfig
from mmsra_pipeline.errors import ComputeError, ConfigError, DataError, MissingInputError

pytest.importorskip("ray", reason="needs Ray: pip install 'mmsra-pipeline[ray]'")


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(cpus=2) as (started, address):
        yield started, address


def shards(*several: tuple[str, ...]) -> list[Shard]:
    return [Shard(tuple(f"row {row}" for row in rows), rows) for rows in several]


def results(cluster, folder: Path, *several: tuple[str, ...], make=None, found: dict[str, int], **settings) -> None:
    config = ComputeConfig(engine="ray", address=cluster[1], **{"workers": 2, "tries": 2, **settings})
    for shard, values in spread(
        make or functools.partial(ray_workers.doubling, folder), shards(*several), config, "doubling"
    ):
        found.update(zip(shard.names, values, strict=True))


def tried(folder: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for file in folder.iterdir():
        counts[file.stem] = counts.get(file.stem, 0) + 1
    return counts


@pytest.mark.slow
def test_rows_of_dead_workers_and_errors_are_done_again_and_what_fails_each_time_is_named(cluster, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    several = ("1", "2"), ("3 kills once", "4"), ("5", "6 kills"), ("7",), ("8 fails", "9")
    found: dict[str, int] = {}
    with pytest.raises(DataError, match=r"doubling: 2 rows failed 2 times each.*All others are done and kept") as error:
        results(cluster, tmp_path, *several, found=found)
    assert "'row 6 kills' (its worker died: ActorDiedError" in str(error.value)
    assert "'row 8 fails' (ValueError: nothing doubles 8)" in str(error.value)
    assert found == {"row 1": 2, "row 2": 4, "row 3 kills once": 6, "row 4": 8, "row 5": 10, "row 7": 14, "row 9": 18}
    assert tried(tmp_path) == {"1-2": 1, "3-4": 2, "5-6": 2, "5": 1, "6": 2, "7": 1, "8-9": 2, "8": 2, "9": 1}
    assert "doubling: a worker died; its shard ('row 3 kills once' and 1 more) is done again" in caplog.text


@pytest.mark.slow
def test_who_ends_early_ends_the_workers(cluster, tmp_path):
    import ray

    def cancelled(*_): ...

    before = signal.signal(signal.SIGTERM, cancelled)
    config = ComputeConfig(engine="ray", address=cluster[1], workers=2)
    make = functools.partial(ray_workers.doubling, tmp_path)
    with contextlib.closing(spread(make, shards(("1",), ("2 sleeps",), ("3",), ("4",)), config, "doubling")) as answers:
        shard, values = next(answers)
        assert (shard.rows, values) == (("1",), [2])
        assert signal.getsignal(signal.SIGTERM) is cancelled  # Ray's own would hide Dagster's cancel
    signal.signal(signal.SIGTERM, before)
    ray.init(cluster[1], log_to_driver=False, configure_logging=False)
    try:
        for _ in range(50):  # the two CPUs are free again although a row sleeps for a minute
            if ray.available_resources().get("CPU") == 2:
                break
            time.sleep(0.2)
        else:
            raise AssertionError(ray.available_resources())
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_work(cluster, tmp_path):
    with pytest.raises(MissingInputError, match="no weights here"):
        results(cluster, tmp_path, ("1",), make=ray_workers.refusing, found={})
    with pytest.raises(ComputeError, match=r"2 workers died one after the other while they began.*memory"):
        results(cluster, tmp_path, ("1",), make=ray_workers.dying, found={})
    with pytest.raises(ComputeError, match=r"no worker began in 2 s.*needs 3 CPUs and 0 GPUs, and the cluster has .*2"):
        results(cluster, tmp_path, ("1",), cpus_per_worker=3, start_seconds=2, found={})


def test_without_rows_no_cluster_is_asked(tmp_path):
    nowhere = ComputeConfig(engine="ray", address="127.0.0.1:1")
    assert list(spread(ray_workers.refusing, [], nowhere, "doubling")) == []


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    import ray

    def refuse(*_args, **_settings):
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConfigError, match=r"compute.address=auto: there is no Ray cluster.*ray start --head"):
        list(spread(ray_workers.refusing, shards(("1",)), ComputeConfig(engine="ray"), "doubling"))


def test_shards_are_read_as_they_are_wanted():
    read = []

    def source():
        for shard in shards(("1",), ("2",)):
            read.append(shard)
            yield shard

    queue = Queue(source(), tries=2)
    assert read == []
    assert queue.waiting() == 1
    assert len(read) == 1
    first = queue.next()
    assert first is read[0]
    queue.failed(first, "why")
    assert queue.next() is first  # before the next one
    assert queue.waiting(5) == 1
    assert queue.next() is read[1]
    assert queue.waiting() == 0
