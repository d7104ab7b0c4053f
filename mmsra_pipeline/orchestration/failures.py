"""Why a run failed, in words for whoever must fix it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mmsra_pipeline import errors
from mmsra_pipeline.errors import MmsraError, PassingError

OWN_ERRORS, PASSING = (
    {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, base)}
    for base in (MmsraError, PassingError)
)


@dataclass(frozen=True)
class Failure:
    """Why a data set, or one asset of it, was not brought up to date."""

    partition: str
    text: str
    asset: str = ""
    may_pass: bool = False
    """Whether nobody foresaw it, so that another try may do. What a user must fix does not pass."""


def failures_of(
    events: Iterable[dg.DagsterEvent], run_id: str, partition: str, *, success: bool, canceled: bool = False
) -> list[Failure]:
    """Say why steps of a run failed; those that were skipped after them say nothing.

    Args:
        events: of the run.
        run_id: its id.
        partition: the data set.
        success: whether the run ended well.
        canceled: whether somebody ended it.
    """
    found = []
    for event in events:
        if event.is_step_failure:
            error: Any = event.step_failure_data.error
            text, own = describe(error, run_id)
            may_pass = not own or _kind(_telling(error))[0] in PASSING
            found.append(Failure(partition, f"{event.step_key}: {text}", str(event.step_key), may_pass=may_pass))
    if canceled:
        return [Failure(partition, f"run {run_id} was canceled")]
    if not found and not success:
        text = f"run {run_id} failed; its log is in the Dagster UI"
        found.append(Failure(partition, text, may_pass=True))
    return found


def describe(error: Any, run_id: str) -> tuple[str, bool]:
    """Return the text of an error as Dagster keeps it, and whether it is one of ours, which says all by itself."""
    error = _telling(error)
    kind, rest = _kind(error)
    if kind in OWN_ERRORS:
        return rest, True
    frames = [frame.strip() for frame in error.stack if "mmsra_pipeline" in frame]
    return f"{kind}: {rest}\n{frames[-1] if frames else ''}\nThe whole trace is in the log of run {run_id}.", False


def _telling(error: Any) -> Any:
    """Return the first error of ours in the chain of causes: it says all, its own cause less. Else the first cause."""
    while _kind(error)[0] not in OWN_ERRORS and error.cause is not None:
        error = error.cause
    return error


def _kind(error: Any) -> tuple[str, str]:
    """Class, without its module where it is ours, and text."""
    kind, _, rest = str(error.message).strip().partition(": ")
    name = kind.rpartition(".")[2]
    return (name if name in OWN_ERRORS else kind), rest
