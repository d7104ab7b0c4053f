"""`dagster dev`, as `make ui` starts it, in a root of its own, asked by GraphQL as the browser asks it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "mmsra_pipeline"}

START_SENSOR = """mutation($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) { __typename ... on PythonError { message } } }"""
PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["raw_reviews"]}) { ... on AssetNode { partitionKeys } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = """query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status error { message } } } }"""
RUNS = """query($filter: RunsFilter!) {
  runsOrError(filter: $filter) { ... on Runs { results {
    runId jobName status startTime endTime tags { key value } stepStats { stepKey startTime endTime } } } } }"""
CANCEL = """mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""
FAILURES = """query($run: ID!) {
  logsForRun(runId: $run) { ... on EventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } } } } } }"""
LOG_LINES = """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
    ... on LogMessageEvent { message } } } } }"""
TICKS = """query($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) { ... on InstigationState {
    status ticks { status timestamp skipReason runIds error { message } } } } }"""


class Served:
    """A root with settings, data sets and, between enter and exit, Dagster's webserver and daemon."""

    def __init__(self, root: Path, settings: dict[str, Any]) -> None:
        self.root = root
        home = root / "dagster_home"
        home.mkdir(parents=True)
        (root / "datasets").mkdir()
        (root / "settings.yaml").write_text(yaml.safe_dump(settings))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = root / "dagster.log"
        self.environment = os.environ | {
            "MMSRA_ROOT": str(root),
            "MMSRA_CONFIG": str(root / "settings.yaml"),
            "DAGSTER_HOME": str(home),
            "OMP_NUM_THREADS": "2",
            "PYTHONPATH": str(PROJECT),
            "PYTHONWARNINGS": "ignore",
        }

    def __enter__(self) -> "Served":
        command = [str(Path(sys.executable).parent / "mmsra"), "ui", "--port", str(self.port)]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=PROJECT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for(self._answers, seconds=300, what=f"the webserver; its log is {self.log}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"dagster dev ended:\n{self.log.read_text()[-3000:]}")
        try:
            return bool(self.ask("{ version }"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        """Give the answer to a query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            reply = json.load(answer)
        assert "errors" not in reply, reply["errors"]
        return reply["data"]

    def describe(self, name: str, file: str) -> None:
        """Put the file of a data set where a user would."""
        (self.root / "datasets" / f"{name}.yaml").write_text(file)

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on."""
        done = self.ask(START_SENSOR, sensor={**SELECTOR, "sensorName": name})["startSensor"]
        assert done["__typename"] == "Sensor", done

    def partitions(self) -> set[str]:
        """Names of the partitions there are."""
        return set(self.ask(PARTITIONS)["assetNodeOrError"]["partitionKeys"])

    def backfill(self, assets: list[str], partitions: list[str]) -> str:
        """Start a backfill and give its id."""
        keys = [{"path": [asset]} for asset in assets]
        done = self.ask(BACKFILL, params={"assetSelection": keys, "partitionNames": partitions})
        assert "backfillId" in done["launchPartitionBackfill"], done
        return done["launchPartitionBackfill"]["backfillId"]

    def backfill_status(self, backfill: str) -> str:
        """Give the status of a backfill."""
        return self.ask(BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]["status"]

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """Give the runs that have these tags, oldest first; ``tags`` of a run as a mapping."""
        wanted = {"tags": [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]}
        found = self.ask(RUNS, filter=wanted)["runsOrError"]["results"]
        for run in found:
            run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
        return found[::-1]

    def cancel(self, run_id: str) -> None:
        """Cancel a run, as the button in the UI does."""
        done = self.ask(CANCEL, run=run_id)["terminateRun"]
        assert done["__typename"] == "TerminateRunSuccess", done

    def failures(self, run_id: str) -> dict[str, str]:
        """Give what each step that failed shows: Dagster's message, then that of the cause."""
        events = self.ask(FAILURES, run=run_id)["logsForRun"]["events"]
        return {
            event["stepKey"]: "\n".join([event["error"]["message"], *(c["message"] for c in event["error"]["causes"])])
            for event in events
            if event.get("error")
        }

    def log_lines(self, run_id: str) -> list[str]:
        """Give what code said in a run."""
        events = self.ask(LOG_LINES, run=run_id)["logsForRun"]["events"]
        return [event["message"] for event in events if event.get("message")]

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """Give the ticks of a schedule or sensor, oldest first."""
        state = self.ask(TICKS, selector={**SELECTOR, "name": name})["instigationStateOrError"]
        return state.get("ticks", [])[::-1]


def wait_for(found: Callable[[], Any], *, seconds: float, what: str, every: float = 1.0) -> Any:
    """Give what ``found`` gives once it is true."""
    until = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(every)
    return value


def table_source(root: Path, name: str, header: str = "user_id,item_id,timestamp") -> str:
    """Write a small shop in `format: tables`, and give the text of the file that describes it."""
    from mmsra_pipeline.sample_store.shop import make_shop, write_shop

    source = root / "sources" / name
    write_shop(make_shop("tiny", 0), source)
    file = source / "interactions.csv"
    file.write_text(re.sub(r"^user_id,item_id,timestamp", header, file.read_text(), count=1))
    return f"format: tables\npath: {source}\n"
