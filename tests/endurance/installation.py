"""A root of its own with tiny models, and the command line in processes that can be killed.

A cold process is a new Python. A warm one is forked from a server that has imported the libraries, but nothing that
reads a setting: of a run of a minute the imports are a third, and kills shall hit work.
"""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import yaml
from defs.tiny_settings import SETTINGS as TINY
from endurance.counting import count_calls

SETTINGS: dict[str, Any] = TINY | {
    "alignment": {**TINY["alignment"], "steps": 3, "checkpoint_every": 1},
    "retention": {"min_free_gb": 0},  # a full disk shall be met half-way
}
PRELOADED = ("torch", "transformers", "peft", "trl", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "dagster",
             "dagster._core.instance", "duckdb", "pandas", "pyarrow.parquet", "faiss", "sentence_transformers",
             "matplotlib.pyplot", "mmsra_pipeline.summarization.tuning.grpo", "mmsra_pipeline.recommendation.training",
             "mmsra_pipeline.backbone.sentences", "sklearn.metrics", "endurance.installation")  # fmt: skip
PATIENCE = 1800.0  # seconds for a command that nobody kills


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int | None
    """Below 0: the signal that ended it."""
    out: str
    err: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was ended by kill -9."""
        return self.code == -signal.SIGKILL

    def materialized(self) -> list[str]:
        """Give the assets that a refresh with --json made."""
        return [entry["asset"] for entry in json.loads(self.out)["materialized"]]


class Running:
    """A warm process at work."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self._process = process
        self._log = log
        self._start = time.monotonic()

    def wait(self, seconds: float = PATIENCE) -> bool:
        """Wait at most so long, and say whether it has ended."""
        self._process.join(seconds)
        return self._process.exitcode is not None

    def kill(self) -> None:
        """Kill -9 it and all that it started."""
        pid = self._process.pid
        if pid is None or self._process.exitcode is not None:
            return
        for end in (os.killpg, os.kill):
            with suppress(ProcessLookupError):  # it has ended, or has no group of its own yet
                end(pid, signal.SIGKILL)

    def end(self) -> Done:
        """Wait for its end and say how it was."""
        if not self.wait():
            self.kill()
            self._process.join()
        seconds = time.monotonic() - self._start
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in _outputs(self._log))
        return Done(self._process.exitcode, out, err, seconds)


class Installation:
    """A root, its settings, and commands in it."""

    def __init__(self, root: Path, model: Path, logs: Path) -> None:
        """``logs`` is a folder for what commands say, which a full disk of the root must not stop."""
        self.root = root
        self.logs = logs
        self.counts = self.logs / "counts"
        self._numbers = 0
        for folder in (root, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        tree = json.loads(json.dumps(SETTINGS))
        tree["backbone"]["model"] = str(model)
        (self.logs / "settings.yaml").write_text(yaml.safe_dump(tree))
        self.changes = {
            "MMSRA_ROOT": str(root),
            "MMSRA_CONFIG": str(self.logs / "settings.yaml"),
            "DAGSTER_HOME": str(root / "dagster_home"),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": "2",
            "PYTHONWARNINGS": "ignore",
        }

    @property
    def data(self) -> Path:
        """Tables."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """Artifacts."""
        return self.root / "artifacts"

    def wipe(self) -> None:
        """Empty the root, but for the descriptions of data sets."""
        for path in self.root.iterdir():
            if path.name != "datasets":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def run(self, *words: str) -> Done:
        """Run a command in a cold process."""
        command = [sys.executable, "-c", "from mmsra_pipeline.cli.app import main; main()", *words]
        start = time.monotonic()
        done = subprocess.run(
            command, env=os.environ | self.changes, cwd=self.root, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - start)

    def start(self, *words: str, limits: Callable[[], None] | None = None) -> Running:
        """Run a command in a warm process. ``limits`` is called in it at first."""
        self._numbers += 1
        log = self.logs / f"{self._numbers:04d}"
        process = _server().Process(target=_command, args=(words, self.changes, self.root, log, self.counts, limits))
        process.start()
        return Running(process, log)


@cache
def _server() -> ForkServerContext:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _outputs(log: Path) -> list[Path]:
    return [log.with_suffix(".out"), log.with_suffix(".err")]


def _command(
    words: tuple[str, ...],
    changes: dict[str, str],
    folder: Path,
    log: Path,
    counts: Path,
    limits: Callable[[], None] | None,
) -> None:
    """Be the command line, in a process group of its own."""
    os.setsid()
    os.environ.update(changes)
    os.chdir(folder)
    for number, path in enumerate(_outputs(log), start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["mmsra", *words]
    count_calls(counts)
    _fork_steps()
    if limits:
        limits()
    from mmsra_pipeline.cli.app import main

    main()


def _fork_steps() -> None:
    """Fork steps from this warm process, where calls are counted, and not from a server that would import for half a
    minute; cold commands have that.
    """
    from mmsra_pipeline.orchestration.step_processes import StepProcesses

    original = StepProcesses.executor

    def forking(self: StepProcesses, preload: Any) -> Any:
        executor: Any = original(self, preload)
        executor._start_method = "fork"
        return executor

    StepProcesses.executor = forking  # type: ignore[method-assign]
