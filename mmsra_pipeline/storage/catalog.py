"""The DuckDB catalog: one view a table, over the slices of all datasets, in a file that is replaced as a whole."""

from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from mmsra_pipeline.storage.files import sweep, temporary
from mmsra_pipeline.storage.locks import locked

CATALOG = "catalog.duckdb"
POLL_SECONDS = 0.02  # a rebuild takes some hundredths of a second


def replace_catalog(root: Path, slices: Callable[[str], Mapping[str, Path]]) -> None:
    """Rebuild the catalog in ``root``; ``slices`` gives the current file of each dataset of a table."""
    root.mkdir(parents=True, exist_ok=True)
    # Asked for under the lock: else a writer that looked earlier could put its older catalog over a newer one.
    with locked(root / ".catalog.lock", "the catalog", POLL_SECONDS):
        sweep(root)
        building = temporary(root)
        with duckdb.connect(str(building)) as connection:
            for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != "."):
                if files := slices(folder.name):
                    connection.execute(_view(folder.name, files))
        building.replace(root / CATALOG)


def _view(table: str, files: Mapping[str, Path]) -> str:
    parts = [
        f"select {_quoted(dataset)} as dataset, * from read_parquet({_quoted(str(path))}, hive_partitioning=false)"
        for dataset, path in files.items()
    ]
    return f'create view "{table}" as ' + " union all by name ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
