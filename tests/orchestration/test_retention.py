import os
import subprocess
import time

import pandas as pd
import pyarrow as pa
import pytest

from mmsra_pipeline.config.operation import RetentionConfig
from mmsra_pipeline.orchestration.retention import DAY, removable_files
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock
from mmsra_pipeline.storage.tables import Store

RULES = RetentionConfig(versions=1, grace_hours=24, work_days=14)
LONG_AGO = time.time() - 30 * DAY


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


def aged(path, moment=LONG_AGO):
    for inner in (*(path.rglob("*") if path.is_dir() else []), path):
        os.utime(inner, (moment, moment))
    return path


def file(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def found(paths, used_configs=()):
    return {entry.path: entry.why for entry in removable_files(paths, RULES, used_configs=used_configs)}


def slices(paths, *numbers):
    """Versions of a table, the last one current; each a day younger than the one before."""
    store = Store(paths.data)
    files = [store.replace("t", "shop", pd.DataFrame({"a": [number]})).path for number in numbers]
    for age, path in enumerate(reversed(files)):
        os.utime(path, (LONG_AGO - age * DAY,) * 2)
    return files


def test_old_slices_go_but_for_the_current_the_pinned_and_as_many_as_set(paths):
    first, second, third = slices(paths, 1, 2, 3)
    assert found(paths) == {first: "old version of a table"}
    Store(paths.data).pin("t", "shop", {first.stem})
    assert found(paths) == {}
    Store(paths.data).pin("t", "shop", {second.stem})
    assert found(paths) == {}  # the pinned one does not count as the old one that is kept
    assert third.is_file()


def test_nothing_that_changed_within_the_grace_is_found(paths):
    for path in slices(paths, 1, 2, 3):
        aged(path, time.time() - 0.5 * DAY)
    assert found(paths) == {}


def test_a_current_slice_that_is_older_than_the_others_stays(paths):
    store = Store(paths.data)
    _, second, _ = slices(paths, 1, 2, 3)
    current = store.replace("t", "shop", pd.DataFrame({"a": [1]})).path
    aged(current, LONG_AGO - 99 * DAY)
    assert set(found(paths)) == {second}


def test_old_artifacts_go_whole(paths):
    artifacts = Artifacts(paths.artifacts)
    stored = []
    for age, text in enumerate(("current later", "one")):
        with artifacts.publish("recommender", "shop") as folder:
            (folder / "weights").write_text(text)
        stored.append(aged(artifacts.current("recommender", "shop"), LONG_AGO + age * DAY))
    with artifacts.publish("recommender", "shop") as folder:
        (folder / "weights").write_text("current later")  # the first again
    assert found(paths) == {}
    other = paths.artifacts / "recommender" / "shop" / "older"
    file(other / "weights", "1234")
    aged(other, LONG_AGO - DAY)
    [entry] = removable_files(paths, RULES, used_configs=())
    assert (entry.path, entry.bytes) == (other, 4)


def work(paths, name, moment):
    return aged(file(paths.artifacts / "work" / "recommender" / "shop" / name / "checkpoint").parent, moment)


def test_work_that_ended_goes_and_work_that_goes_on_stays(paths):
    done = work(paths, "done", LONG_AGO)
    going_on = work(paths, "going-on", time.time() - 3 * DAY)
    assert found(paths) == {done: "work that nobody went on with"}
    pointer = file(paths.data / "recommender" / "shop" / "current", '{"version": "v", "rows": 0}')
    aged(pointer, time.time() - 5 * DAY)
    assert found(paths) == {done: "work that has ended"}
    assert going_on.is_dir()


def test_work_that_nobody_went_on_with_goes_after_its_time(paths):
    left, young = work(paths, "left", LONG_AGO), work(paths, "young", time.time() - 13 * DAY)
    assert found(paths) == {left: "work that nobody went on with"}
    assert young.is_dir()


def test_work_whose_lock_is_held_is_never_found(paths):
    done = work(paths, "done", LONG_AGO)
    with locked(dataset_lock(paths, "shop"), "the data set shop"):
        assert found(paths) == {}
    assert set(found(paths)) == {done}


def test_what_dead_processes_left_goes_at_once_wherever_it_lies(paths):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [
        file(paths.artifacts / "images" / "blobs" / "ab" / f".{dead.pid}-1.tmp"),
        file(paths.data / f".{dead.pid}-2.tmp" / "spill").parent,
        file(paths.artifacts / "sources" / "shop" / f".sample-tiny-0-{dead.pid}" / "items.csv").parent,
    ]
    at_work = [
        file(paths.artifacts / "images" / "blobs" / "ab" / f".{os.getppid()}-1.tmp"),
        file(paths.artifacts / "sources" / "shop" / f".sample-tiny-0-{os.getppid()}" / "items.csv").parent,
    ]
    assert set(found(paths)) == set(left)
    assert all(path.exists() for path in at_work)


def test_plots_without_a_table_and_configurations_that_nothing_names_go(paths):
    slices(paths, 1)
    kept = [file(paths.artifacts / "plots" / "shop" / "t.png"), file(paths.artifacts / "configs" / "a.json")]
    gone = [file(paths.artifacts / "plots" / "shop" / "u.png"), file(paths.artifacts / "configs" / "b.json")]
    for path in (*kept, *gone):
        aged(path)
    assert set(found(paths, used_configs={"a.json"})) == set(gone)


def test_an_empty_installation_has_nothing_to_remove(paths):
    assert found(paths) == {}


def test_rows_and_artifacts_that_were_never_published_go_as_old_versions(paths):
    store, artifacts = Store(paths.data), Artifacts(paths.artifacts)
    stored = []
    for number in (1, 2):
        with store.staging("t", "shop", pa.schema({"a": "int64"})) as writing:
            writing.write(pd.DataFrame({"a": [number]}))
        with artifacts.staging("recommender", "shop") as staged:
            file(staged.building / "adapter", str(number))
        aged(staged.place / "adapter", LONG_AGO + number * DAY)
        stored += [aged(writing.slice.path, LONG_AGO + number * DAY), aged(staged.place, LONG_AGO + number * DAY)]
    assert found(paths) == {stored[0]: "old version of a table", stored[1]: "old version of an artifact"}
