"""Two workers with a scratch folder and a Dagster home of their own, one Postgres, one root in an object store.

What they run is started through Dagster's queue, as the UI starts it. One is killed in the middle.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import yaml
from defs.postgres import USER, free_port, postgres_server
from s3_server import KEYS, make_bucket

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.datasets import DatasetSpec, write_dataset
from mmsra_pipeline.orchestration.dead_workers import end_runs_of_dead_workers
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.storage.mirror import turn_file
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.tables import Store

pytest.importorskip("dagster_postgres", reason="needs dagster-postgres: pip install 'mmsra-pipeline[deploy]'")
pytestmark = [pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
CHEAP = [
    Tables.RAW_REVIEWS, Tables.INTERACTIONS, Tables.SEQUENCES, Tables.TRAINING_QUERIES, Tables.ITEM_TEXT,
    Tables.ITEM_IMAGES, Tables.COOCCURRENCE_NEIGHBORS,
]  # fmt: skip
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on Error { message } } }"""


class Installed:
    """A Postgres, a root in a store, and what each worker has of its own."""

    def __init__(self, folder: Path, port: int, root: str) -> None:
        self.folder, self.processes = folder, {}
        self._shared = {
            "MMSRA_ROOT": root,
            "MMSRA_CONFIG": "sample",
            "PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "tests"))),
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": "unasked",
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_DB": USER,
        }
        self._instance = yaml.safe_load((PROJECT / "deploy" / "dagster.yaml").read_text())
        self._instance["storage"]["postgres"]["postgres_db"]["port"] = port
        self._instance["schedules"] = {"use_threads": False}
        self.ports = {name: free_port() for name in ("one", "two")}
        self.workspace = folder / "workspace.yaml"
        servers = [
            {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": name}}
            for name, port in self.ports.items()
        ]
        self.workspace.write_text(yaml.safe_dump({"load_from": servers}))

    def environment(self, name: str) -> dict[str, str]:
        home = self.folder / name / "home"
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(yaml.safe_dump(self._instance))
        return self._shared | {"DAGSTER_HOME": str(home), "MMSRA_SCRATCH": str(self.folder / name / "scratch")}

    def start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *words], env=os.environ | self.environment(name), cwd=self.folder,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        os.killpg(self.processes.pop(name).pid, signal.SIGKILL)


@pytest.fixture
def installed(tmp_path, s3_url, monkeypatch):
    make_bucket(s3_url, "workers")
    for variable, value in (KEYS | {"AWS_ENDPOINT_URL": s3_url}).items():
        monkeypatch.setenv(variable, value)
    with postgres_server() as port:
        installed = Installed(tmp_path, port, "s3://workers/root")
        for variable, value in installed.environment("asking").items():
            monkeypatch.setenv(variable, value)
        try:
            yield installed
        finally:
            for name in list(installed.processes):
                installed.kill(name)


def wait_for(found, seconds: float, what: str):
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return answer


def launch(context, worker: str, dataset: str, assets=CHEAP) -> str:
    from dagster_graphql.schema import create_schema

    params = {
        "selector": {
            "repositoryLocationName": worker, "repositoryName": "__repository__", "jobName": "everything",
            "assetSelection": [{"path": [name]} for name in assets],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": dataset}]},
    }  # fmt: skip
    asked = create_schema().execute_async(
        LAUNCH, context_value=context.create_request_context(), variable_values={"params": params}
    )
    answer = asyncio.run(asked)
    assert not answer.errors, answer.errors
    assert answer.data["launchRun"]["__typename"] == "LaunchRunSuccess", answer.data
    return answer.data["launchRun"]["run"]["runId"]


def materialized(instance, run: str) -> list[str]:
    records = instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [entry.asset_materialization.asset_key.path[-1] for entry in records]


def test_two_workers_compute_and_killing_one_loses_nothing(installed):
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    paths = find_paths()
    for name in ("shop", "other"):
        write_dataset(
            paths.datasets, DatasetSpec(name=name, format="sample", options={"size": "tiny", "seed": 0}), paths.remote
        )
    with dg.DagsterInstance.get() as instance:
        assert type(instance.event_log_storage).__name__.startswith("Postgres")
        instance.add_dynamic_partitions(str(datasets.name), ["shop", "other"])
        for name, port in installed.ports.items():
            installed.start(name, "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port),
                            "-m", "defs.quick_worker", "--location-name", name)  # fmt: skip
        target = WorkspaceFileTarget([str(installed.workspace)])
        wait_for(lambda: _answers(installed), 120, "the workers")
        installed.start("daemon", "dagster._daemon", "run", "-w", str(installed.workspace))
        with WorkspaceProcessContext(instance, target) as context:
            killed, kept = launch(context, "one", "shop"), launch(context, "two", "other")
            wait_for(lambda: Tables.INTERACTIONS in materialized(instance, killed), 120, "the first tables")
            installed.kill("one")
            before = materialized(instance, killed)
            assert set(CHEAP) - set(before)  # it was in the middle
            assert instance.get_run_by_id(killed).status == dg.DagsterRunStatus.STARTED  # nobody has told Dagster
            again = launch(context, "two", "shop")  # waits in the queue: one run a data set

            wait_for(lambda: instance.get_run_by_id(kept).is_finished, 120, "the worker that lives")
            wait_for(lambda: instance.get_run_by_id(killed).is_finished, 120, "the sensor dead_workers")
            assert instance.get_run_by_id(killed).status == dg.DagsterRunStatus.FAILURE
            wait_for(lambda: instance.get_run_by_id(again).is_finished, 120, "the run in the queue")
        assert instance.get_run_by_id(kept).status == dg.DagsterRunStatus.SUCCESS
        assert instance.get_run_by_id(again).status == dg.DagsterRunStatus.SUCCESS
        assert sorted(materialized(instance, kept)) == sorted(materialized(instance, again)) == sorted(CHEAP)
        assert (installed.folder / "one" / "scratch").is_dir()
        assert (installed.folder / "two" / "scratch").is_dir()
        store = Store.of(paths)
        for table in CHEAP:
            pd.testing.assert_frame_equal(store.read(table, "shop"), store.read(table, "other"))
            assert store.current(table, "shop").version == store.current(table, "other").version


def _answers(installed) -> bool:
    from dagster._grpc.client import DagsterGrpcClient

    for port in installed.ports.values():
        try:
            DagsterGrpcClient(port=port, host="127.0.0.1").ping("there?")
        except Exception:  # noqa: BLE001  (it is not up yet, however that shows)
            return False
    return True


@pytest.mark.parametrize("renewed", [True, False])
def test_a_run_is_ended_when_its_turn_is_renewed_no_more(machine, instance, renewed, monkeypatch):
    paths = machine("one")
    file = turn_file(paths.root, "shop")
    run = instance.create_run_for_job(_job(), tags={"dagster/partition": "shop"}, status=dg.DagsterRunStatus.STARTED)
    instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED)  # of no data set: nothing is known of it
    paths.remote.write(file, b'{"beat": 1}')
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    ended, seen = end_runs_of_dead_workers(instance, paths, None, lease_seconds=60)
    assert ended == []
    now += 119
    ended, seen = end_runs_of_dead_workers(instance, paths, seen, lease_seconds=60)
    assert ended == []
    if renewed:
        paths.remote.write(file, b'{"beat": 2}')
    now += 2
    ended, seen = end_runs_of_dead_workers(instance, paths, seen, lease_seconds=60)
    assert ended == ([] if renewed else [run.run_id])
    status = instance.get_run_by_id(run.run_id).status
    assert status == (dg.DagsterRunStatus.STARTED if renewed else dg.DagsterRunStatus.FAILURE)


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def empty() -> None:
        nothing()

    return empty
