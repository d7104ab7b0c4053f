"""Runs each step in a process of its own, so that its memory ends with it.

The processes are forked from a server that has imported the libraries: a step begins in a fraction of a second, where a
new Python would import for most of a minute. The run's own process computes nothing; it holds the turn of its data set,
and a step whose run is gone ends itself.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.run_locks import turn_of

PARTITION_TAG: Final = "dagster/partition"
START_METHOD: Final = "forkserver"
LIBRARIES: Final = ("mmsra_pipeline.orchestration.preloaded", "pandas", "pyarrow.parquet", "duckdb")
MODEL_LIBRARIES: Final = ("torch", "transformers", "peft", "mlflow", "mlflow.store.tracking.sqlalchemy_store",
                          "sklearn.metrics", "matplotlib.pyplot", "mmsra_pipeline.backbone.model")  # fmt: skip
WORTH_IMPORTING: Final = 2
"""Steps with a model from which on the server imports their libraries; a single one imports them itself."""
POLL_SECONDS: Final = 1.0
_expected: set[str] = set()
_watching = threading.Event()


class StepProcesses(dg.Executor):
    """Dagster's executor of several processes, one step at a time, with the turn of the run's data set."""

    def __init__(self, init: dg.InitExecutorContext) -> None:
        self._init = init

    @property
    def retries(self) -> Any:
        """As a step says itself."""
        return self.executor(()).retries

    def executor(self, preload: Collection[str]) -> dg.Executor:
        """Return Dagster's own."""
        method = {START_METHOD: {"preload_modules": list(preload)}}
        config = {"max_concurrent": 1, "start_method": method, "retries": {"enabled": {}}}
        built: dg.Executor = dg.multiprocess_executor.executor_creation_fn(self._init._replace(executor_config=config))  # type: ignore[misc]
        return built

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Hold the turn and run the plan."""
        keys = set(execution_plan.step_keys_to_execute)
        models = {step.key for step in execution_plan.steps if step.key in keys and step.pool == DEVICE} | _expected
        heavy = MODEL_LIBRARIES if len(models) >= WORTH_IMPORTING else ()
        dataset = plan_context.dagster_run.tags.get(PARTITION_TAG)
        with contextlib.ExitStack() as held:
            if dataset:
                _take_turn(held, plan_context, dataset)
            yield from self.executor([*LIBRARIES, *heavy]).execute(plan_context, execution_plan)


@dg.executor(name="step_processes", requirements=dg.multiple_process_executor_requirements())
def step_processes(init: dg.InitExecutorContext) -> StepProcesses:
    """A process a step, one after the other."""
    return StepProcesses(init)


def _take_turn(held: contextlib.ExitStack, plan_context: Any, dataset: str) -> None:
    """Wait for the turn of a data set, and say so in the run's log.

    Dagster holds signals back while an executor is at work, so a cancel is read from the run; and the wait is a
    thread's, which may be left.

    Raises:
        DagsterExecutionInterruptedError: if the run is cancelled meanwhile.
    """
    done, errors = threading.Event(), []

    def take() -> None:
        try:
            held.enter_context(turn_of(find_paths(), dataset))
        except Exception as error:  # noqa: BLE001  # raised below, in the thread of the run
            errors.append(error)
        done.set()

    threading.Thread(target=take, name=f"turn of {dataset}", daemon=True).start()
    if not done.wait(POLL_SECONDS):
        plan_context.log.info(f"waiting for another process to be done with the data set {dataset}")
    while not done.wait(POLL_SECONDS):
        run = plan_context.instance.get_run_by_id(plan_context.run_id)
        if run is not None and run.status == dg.DagsterRunStatus.CANCELING:
            raise dg.DagsterExecutionInterruptedError
    if errors:
        raise errors[0]


def expect(model_steps: Iterable[str]) -> None:
    """Say which steps with a model this process may run, before the first: the server then imports what they need."""
    _expected.update(model_steps)


def of_a_run() -> bool:
    """Whether this process computes a step for a run whose own process holds the turn; see that it ends with that."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return False
    if not _watching.is_set():
        _watching.set()
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="end with the run", daemon=True).start()
    return True


def _end_with(sentinel: int) -> None:
    """End this process as a kill would, as soon as the other one is gone."""
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
