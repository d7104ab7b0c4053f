"""Tables as named relations of a DuckDB connection, whatever they come as."""

from pathlib import Path
from typing import TypeAlias

import duckdb
import pandas as pd
import pyarrow as pa

from mmsra_pipeline.storage.table_writer import as_table

Rows: TypeAlias = pd.DataFrame | pa.Table | Path
"""Rows of a table: a frame, an Arrow table, or the Parquet file of a slice, of which SQL reads what it needs."""

BATCH_ROWS = 65_536


def register(connection: duckdb.DuckDBPyConnection, name: str, rows: Rows) -> None:
    """Let SQL read ``rows`` as the view ``name``, in place of an earlier one of that name.

    Missing values of a frame are null there. A file is not loaded: each query reads the columns that it names.
    """
    if isinstance(rows, Path):
        connection.unregister(name)  # what is registered hides a view
        connection.from_parquet(str(rows), hive_partitioning=False).create_view(name, replace=True)
    else:
        connection.register(name, as_table(rows))
