"""Trainings that a refresh would repeat because settings changed: hours of work, often by a forgotten variable."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import dagster as dg

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.materializations import changed_settings, latest
from mmsra_pipeline.orchestration.staleness import Stale


class Renewal(NamedTuple):
    """A training that was run before, with other settings."""

    asset: str
    dataset: str
    changes: tuple[str, ...]
    """``path old -> new``."""
    seconds: float | None
    """That it took last time."""

    def __str__(self) -> str:
        took = "" if self.seconds is None else f"; took {self.seconds:.0f} s last time"
        return f"{self.asset}[{self.dataset}]: {', '.join(self.changes)}{took}"


Approve = Callable[[list[Renewal]], bool]


def renewals(instance: dg.DagsterInstance, stale: Iterable[Stale], settings: Callable[[str], Config]) -> list[Renewal]:
    """Return the trainings among ``stale`` whose settings are not those that they were made with.

    ``settings`` gives those that hold for a data set.
    """
    found = []
    for entry in stale:
        materialization = latest(instance, entry.asset, entry.partition) if entry.asset in COSTLY else None
        changes = changed_settings(entry.asset, materialization, settings(entry.partition)) if materialization else []
        if materialization is not None and changes:
            found.append(Renewal(entry.asset, entry.partition, tuple(changes), materialization.seconds))
    return found


def check_approved(found: list[Renewal], approve: Approve) -> None:
    """Ask whether trainings may be renewed, if there are any.

    Raises:
        ConfigError: if they may not.
    """
    if found and not approve(found):
        lines = "\n".join(f"  {renewal}" for renewal in found)
        raise ConfigError(
            f"settings changed, and a refresh would train anew:\n{lines}\nNothing was computed. If that is meant, say "
            "`mmsra refresh --yes`; to leave trainings as they are, `mmsra refresh --nightly`; else name the settings "
            "that they were made with (in the data set's file, mmsra.yaml beside workspace.yaml, or MMSRA_CONFIG)."
        )
