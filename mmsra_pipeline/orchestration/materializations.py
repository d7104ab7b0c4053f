"""What Dagster knows of the materializations of an asset and data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.settings_read import json_ready, settings_of

ROWS: Final = "dagster/row_count"
SECONDS: Final = "seconds"
MEMORY: Final = "peak_memory_gb"
SLICE: Final = "slice"
NULLS: Final = "null_shares"
SETTINGS: Final = "settings"
WORK: Final = "made_of"
"""A fingerprint of code, settings and inputs."""
REUSED_FROM: Final = "reused_from"
"""The data set that it was taken over from."""
DATA_VERSION: Final = "dagster/data_version"
CODE_VERSION: Final = "dagster/code_version"


@dataclass(frozen=True)
class Materialization:
    """One materialization, and what it said of itself."""

    number: int
    """Grows with each event of the instance."""
    run_id: str
    at: float
    """Seconds since 1970 UTC."""
    version: str | None
    """The data version: of the content."""
    code: str | None
    """The code version."""
    metadata: Mapping[str, Any]

    @property
    def rows(self) -> int | None:
        """Rows of the asset's own table."""
        return None if self.metadata.get(ROWS) is None else int(self.metadata[ROWS])

    @property
    def seconds(self) -> float | None:
        """How long it took to compute."""
        return None if self.metadata.get(SECONDS) is None else float(self.metadata[SECONDS])

    @property
    def peak_memory_gb(self) -> float | None:
        """The most memory that its process took meanwhile."""
        return None if self.metadata.get(MEMORY) is None else float(self.metadata[MEMORY])

    @property
    def null_shares(self) -> Mapping[str, float] | None:
        """Share of nulls of each column of the asset's own table that is no list."""
        return self.metadata.get(NULLS)

    @property
    def work(self) -> str | None:
        """A fingerprint of what it was made of; None: not known."""
        return self.metadata.get(WORK)

    @property
    def reused_from(self) -> str | None:
        """The data set that it was taken over from; None: it was computed."""
        return self.metadata.get(REUSED_FROM)

    @property
    def slice(self) -> str | None:
        """The version of the asset's own table."""
        return None if self.metadata.get(SLICE) is None else PurePath(str(self.metadata[SLICE])).stem


def latest(
    instance: dg.DagsterInstance, asset: str, partition: str, *, before: Materialization | None = None
) -> Materialization | None:
    """Return the last materialization, or the last one before another event; None if there is none."""
    found = last(instance, asset, partition, 1, before=before)
    return found[0] if found else None


def last(
    instance: dg.DagsterInstance, asset: str, partition: str, count: int, *, before: Materialization | None = None
) -> list[Materialization]:
    """Return the last materializations, the newest first."""
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[partition], before_storage_id=before.number if before else None
    )
    return [_of(record) for record in instance.fetch_materializations(wanted, limit=count).records]


def latest_with_event(
    instance: dg.DagsterInstance, asset: str, partition: str
) -> tuple[Materialization, dg.AssetMaterialization] | None:
    """Return the last materialization, also as Dagster keeps it; None if there is none."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition])
    for record in instance.fetch_materializations(wanted, limit=1).records:
        if record.asset_materialization:
            return _of(record), record.asset_materialization
    return None


def _of(record: dg.EventLogRecord) -> Materialization:
    event = record.asset_materialization
    if event is None:
        raise ValueError(f"event {record.storage_id} holds no materialization")
    return Materialization(
        number=record.storage_id,
        run_id=record.run_id,
        at=record.timestamp,
        version=(event.tags or {}).get(DATA_VERSION),
        code=(event.tags or {}).get(CODE_VERSION),
        metadata={name: _plain(value) for name, value in event.metadata.items()},
    )


def changed_settings(asset: str, materialization: Materialization | None, config: Config) -> list[str]:
    """Say which settings of an asset differ in ``config`` from those that it was made with."""
    before = (materialization.metadata.get(SETTINGS) if materialization else None) or {}
    now = json_ready(settings_of(asset, config)) if before else {}
    paths = sorted(set(before) | set(now))
    changed = [path for path in paths if path not in before or path not in now or before[path] != now[path]]
    return [f"{path} {before.get(path, 'absent')} -> {now.get(path, 'absent')}" for path in changed]


def _plain(value: Any) -> Any:
    """The value that was given, without Dagster's wrapping; a table has none."""
    return getattr(value, "value", None)
