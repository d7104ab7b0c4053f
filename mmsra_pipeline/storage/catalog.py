"""The DuckDB catalog: one view a table, over the slices of all datasets, in a file that is replaced as a whole."""

import errno
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from mmsra_pipeline.storage.files import sweep, temporary
from mmsra_pipeline.storage.locks import locked

CATALOG = "catalog.duckdb"
WRITE_AHEAD = f"{CATALOG}.wal"
POLL_SECONDS = 0.02  # a rebuild takes some hundredths of a second
OPENED = f"{CATALOG}.tmp"
"""What DuckDB calls its folder of temporary files, beside the file that it opened."""

logger = logging.getLogger(__name__)


def replace_catalog(root: Path, slices: Callable[[str], Mapping[str, Path]]) -> None:
    """Rebuild the catalog in ``root``; ``slices`` gives the current file of each dataset of a table.

    Where another program does not let the file be replaced, a warning says so and the old catalog stays: tables are
    read by their pointers, so only who asks by SQL sees older rows until the next table is published.
    """
    root.mkdir(parents=True, exist_ok=True)
    # Asked for under the lock: else a writer that looked earlier could put its older catalog over a newer one.
    with locked(root / ".catalog.lock", "the catalog", POLL_SECONDS):
        sweep(root)
        building = temporary(root)
        try:
            _build(building, root, slices)
            # What somebody wrote into the old catalog: DuckDB refuses a catalog beside which another's log lies.
            (root / WRITE_AHEAD).unlink(missing_ok=True)
            building.replace(root / CATALOG)
        except (duckdb.IOException, OSError) as error:
            if os.strerror(errno.ENOSPC) in str(error):
                raise
            logger.warning(
                "%s was not renewed, its views are renewed with the next table: %s. "
                "Close what has it open, or open it with `duckdb -readonly`.", root / CATALOG, error,
            )  # fmt: skip
        finally:
            building.unlink(missing_ok=True)


def _build(place: Path, root: Path, slices: Callable[[str], Mapping[str, Path]]) -> None:
    with duckdb.connect(str(place)) as connection:
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != "."):
            if files := slices(folder.name):
                connection.execute(_view(folder.name, files, root))


def _view(table: str, files: Mapping[str, Path], root: Path) -> str:
    parts = [
        f"select {_quoted(dataset)} as dataset, * from read_parquet({_place(path, root)}, hive_partitioning=false)"
        for dataset, path in files.items()
    ]
    return f'create view "{table}" as ' + " union all by name ".join(parts)


def _place(path: Path, root: Path) -> str:
    """Return SQL for the path of a slice: beside the catalog, wherever that was moved to and from where it is asked.

    A view takes no path that is relative to its own file, nor one out of a query. But it takes a setting, and the
    folder of temporary files lies beside the file that was opened. Where that is another file (the catalog is attached)
    or the folder is set otherwise, the path is that of the day on which the catalog was made.
    """
    opened = "current_setting('temp_directory')"
    beside = f"left({opened}, len({opened}) - {len(OPENED)}) || {_quoted(path.relative_to(root).as_posix())}"
    return f"case when {opened} like '%{OPENED}' then {beside} else {_quoted(str(path.absolute()))} end"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
