import os
import subprocess
import sys
import time

import pytest

from mmsra_pipeline.orchestration.instance import INSTANCE_YAML, open_instance
from mmsra_pipeline.orchestration.instance_files import make_databases

OPENING = """
from mmsra_pipeline.orchestration.instance import open_instance
from mmsra_pipeline.storage.paths import find_paths
open_instance(find_paths())
"""


def databases(home):
    return {path.relative_to(home).as_posix() for path in home.rglob("*.db")}


EXPECTED = {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"}


def test_a_fresh_home_gets_databases_that_hold_what_is_put_there(paths):
    with open_instance(paths) as instance:
        assert databases(paths.dagster_home) == EXPECTED
        instance.add_dynamic_partitions("dataset", ["shop"])
    with open_instance(paths) as again:
        assert again.get_dynamic_partitions("dataset") == ["shop"]
    assert not list(paths.dagster_home.glob("*.tmp*")) + list(paths.dagster_home.glob(".*.tmp*"))


def test_all_databases_are_there_before_dagster_opens_them(paths):
    paths.dagster_home.mkdir(parents=True)
    (paths.dagster_home / "dagster.yaml").write_text(INSTANCE_YAML)
    make_databases(paths.dagster_home)
    assert databases(paths.dagster_home) == EXPECTED


def test_what_a_making_that_was_stopped_had_put_in_place_is_made_again(paths):
    torn = paths.dagster_home / "schedules" / "schedules.db"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"half a database")
    with open_instance(paths) as instance:
        assert instance.all_instigator_state() == []
        assert databases(paths.dagster_home) == EXPECTED


def test_where_the_storage_is_elsewhere_no_database_is_made(paths):
    paths.dagster_home.mkdir(parents=True)
    storage = "storage: {postgres: {postgres_url: postgresql://nobody@localhost/dagster}}"
    (paths.dagster_home / "dagster.yaml").write_text(f"{INSTANCE_YAML}\n{storage}\n")
    make_databases(paths.dagster_home)
    assert databases(paths.dagster_home) == set()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1])
def test_a_kill_while_the_databases_are_made_does_not_stop_later_commands(paths, moment):
    process = subprocess.Popen([sys.executable, "-c", OPENING], env=os.environ)
    while not any(path.stem == "index" for path in paths.root.rglob("*.db")):
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(moment)
    process.kill()
    process.wait()
    with open_instance(paths) as instance:
        instance.add_dynamic_partitions("dataset", ["shop"])
        assert instance.get_dynamic_partitions("dataset") == ["shop"]
