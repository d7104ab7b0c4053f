"""Why a run failed, in words for whoever must mend it."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mmsra_pipeline import errors
from mmsra_pipeline.errors import MmsraError, StorageError

OWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MmsraError)}


@dataclass(frozen=True)
class Failure:
    """Why a data set, or one asset of it, was not brought up to date."""

    partition: str
    text: str
    asset: str = ""
    may_pass: bool = False
    """Whether nobody foresaw it, so that another try may do. What a user must mend does not pass."""


def failures_of(result: dg.ExecuteInProcessResult, partition: str) -> list[Failure]:
    """Say why steps failed; those that were skipped after them say nothing."""
    found = []
    for event in result.all_events:
        if event.is_step_failure:
            error: Any = event.step_failure_data.error
            text, own = describe(error, result.run_id)
            may_pass = not own or _kind(_first_cause(error))[0].endswith(StorageError.__name__)
            found.append(Failure(partition, f"{event.step_key}: {text}", str(event.step_key), may_pass=may_pass))
    if not found and not result.success:
        text = f"run {result.run_id} failed; its log is in the Dagster UI"
        found.append(Failure(partition, text, may_pass=True))
    return found


def describe(error: Any, run_id: str) -> tuple[str, bool]:
    """Give the text of an error as Dagster keeps it, and whether it is one of ours, which says all by itself."""
    error = _first_cause(error)
    kind, rest = _kind(error)
    if kind.rpartition(".")[2] in OWN_ERRORS:
        return rest, True
    frames = [frame.strip() for frame in error.stack if "mmsra_pipeline" in frame]
    return f"{kind}: {rest}\n{frames[-1] if frames else ''}\nThe whole trace is in the log of run {run_id}.", False


def _first_cause(error: Any) -> Any:
    while error.cause is not None:
        error = error.cause
    return error


def _kind(error: Any) -> tuple[str, str]:
    kind, _, rest = str(error.message).strip().partition(": ")
    return kind, rest
