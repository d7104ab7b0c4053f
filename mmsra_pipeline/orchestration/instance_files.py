"""The SQLite databases of a local Dagster instance, made as a whole or not at all."""

from pathlib import Path
from typing import Final

import dagster as dg
import yaml

from mmsra_pipeline.storage.files import remove, sync_folder, temporary_folder, write_atomically
from mmsra_pipeline.storage.locks import locked

HISTORY: Final = "history"  # runs and their events; the other databases are put in place before it
STORAGES: Final = {"storage", "run_storage", "event_log_storage", "schedule_storage"}  # of dagster.yaml


def make_databases(home: Path) -> None:
    """Make the databases of the instance in ``home`` where there are none.

    Dagster makes its tables in several steps and does not look for them again. A process that is killed among them
    leaves an index of events without tables, with which every later start fails; so they are made beside the place.
    """
    settings = (home / "dagster.yaml").read_text()
    if (home / HISTORY).exists() or STORAGES.intersection(yaml.safe_load(settings) or {}):
        return
    with locked(home / ".databases.lock", "the databases of Dagster"):
        if (home / HISTORY).exists():
            return
        with temporary_folder(home) as building:
            write_atomically(building / "dagster.yaml", settings.encode())
            with dg.DagsterInstance.from_config(str(building)) as instance:
                instance.get_runs(limit=1)
                instance.all_asset_keys()
            built = sorted(path for path in building.iterdir() if path.is_dir() and path.name != HISTORY)
            for folder in [*built, building / HISTORY]:
                remove(home / folder.name)  # of a making that was stopped before its end, as there is no history
                folder.replace(home / folder.name)
            sync_folder(home)
