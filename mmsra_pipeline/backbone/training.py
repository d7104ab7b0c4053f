"""What the trainings share: going on from a checkpoint, and telling how they go."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmsra_pipeline.telemetry.progress import Progress
from mmsra_pipeline.telemetry.tracking import Tracker

KEPT_CHECKPOINTS = 2  # one may be torn by a kill while it is written
STATE = "trainer_state.json"  # the last file that a checkpoint gets


def last_checkpoint(workdir: Path) -> Path | None:
    """Return the newest checkpoint of transformers' Trainer that was written to its end; None if there is none."""
    found = []
    for folder in workdir.glob("checkpoint-*"):
        try:
            json.loads((folder / STATE).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            continue  # torn by a kill
        found.append((int(folder.name.rpartition("-")[2]), folder))
    return max(found)[1] if found else None


class Report(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Passes what a trainer logs on to the tracker and, now and then, to the log."""

    def __init__(self, what: str, tracker: Tracker, names: Mapping[str, str]) -> None:
        """``names`` maps the trainer's names of values to ours, that of each step first; others are passed over."""
        self._what = what
        self._tracker = tracker
        self._names = names

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        """Count what is left to do, which after a stop is not all."""
        self._progress = Progress(self._what, state.max_steps - state.global_step, "steps")

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_rest: Any) -> None:
        """Pass on the values of a step."""
        values = {name: float(logs[key]) for key, name in self._names.items() if key in (logs or {})}
        if values:
            self._tracker.log_metrics(values, step=state.global_step)
        step = next(iter(self._names.values()))
        if step in values:
            self._progress.advance(note=f"{step} {values[step]:.3f}")
