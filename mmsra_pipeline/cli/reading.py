"""What the command line reads out of the tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsra_pipeline.columns import ITEM, RANK, TITLE, USER, Tables
from mmsra_pipeline.config.datasets import load_dataset
from mmsra_pipeline.errors import ConfigError, DataError, MissingInputError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.slices import Slice
from mmsra_pipeline.storage.tables import Store

if TYPE_CHECKING:
    import duckdb


def adapters(paths: Paths, dataset: str, *trainings: str) -> list[Path]:
    """Return the adapters that these trainings made, in order; a training that was switched off made none.

    Raises:
        MissingInputError: if a training was not run yet.
    """
    artifacts = Artifacts.of(paths)
    return [artifacts.current(asset, dataset) for asset in trainings if len(stored(paths, asset, dataset))]


def recommended(paths: Paths, dataset: str, user: str) -> list[dict[str, Any]]:
    """Return a user's stored recommendations, best first.

    Raises:
        DataError: if the user has none, with how to get some.
    """
    table = current_slice(paths, Tables.RECOMMENDATIONS, dataset)
    own = table.where(USER, [user]).sort_values(RANK)
    if own.empty:
        users = _users(table)
        example = f", for example {users[0]!r}" if users else ""
        raise DataError(
            f"user {user!r} of dataset {dataset!r} has no stored recommendations: {len(users)} users have"
            f"{example}. Check the id; if it is right, raise `recommendations.users` or lower `interactions.user_core` "
            f"in the settings and run `mmsra refresh --dataset {dataset}`."
        )
    return [
        {
            "item": str(row[ITEM]),
            "title": row[TITLE] if isinstance(row[TITLE], str) else "",  # pandas has nan where there is none
            "p": None if row["p"] != row["p"] else float(row["p"]),  # of the first stage's order nothing is known
            "rank": int(row[RANK]),
            "shared_keywords": [str(word) for word in row["shared_keywords"]],
        }
        for row in own.to_dict(orient="records")
    ]


def first_users(paths: Paths, dataset: str, count: int) -> list[str]:
    """Return the first users, by id, that have stored recommendations."""
    return sorted(_users(current_slice(paths, Tables.RECOMMENDATIONS, dataset)))[:count]


def _users(table: Slice) -> list[str]:
    """Return the users of a table, in the order of its rows."""
    import pyarrow.parquet as pq

    found: list[str] = pq.read_table(table.path, columns=[USER], partitioning=None).column(USER).unique().to_pylist()
    return found


def stored(paths: Paths, table: str, dataset: str) -> Any:
    """Return the rows of a table of a data set. Raises what ``current_slice`` raises."""
    return current_slice(paths, table, dataset).read()


def current_slice(paths: Paths, table: str, dataset: str) -> Slice:
    """Return the current slice of a table of a data set.

    Raises:
        ConfigError: if there is no such table or data set, naming those there are.
        MissingInputError: if the table was not made yet.
    """
    known = [value for name, value in vars(Tables).items() if name.isupper()]
    if table not in known:
        raise ConfigError(f"table {table!r} does not exist. Choose one of: {', '.join(known)}.")
    load_dataset(paths.datasets, dataset)
    return Store.of(paths).current(table, dataset)


def stored_or_none(paths: Paths, table: str, dataset: str) -> Any | None:
    """Return the rows of a table of a data set; None if it was not made yet. As ``stored`` otherwise."""
    return stored(paths, table, dataset) if Store.of(paths).has(table, dataset) else None


def ask_sql(paths: Paths, query: str) -> tuple[list[str], list[list[str]]]:
    """Return the column names and the rows, as text, of an SQL query of the catalog, which it cannot change.

    Raises:
        MissingInputError: if no table was made yet.
        DataError: if DuckDB refuses the query.
    """
    import duckdb

    from mmsra_pipeline.storage.catalog import CATALOG

    catalog = paths.data / CATALOG
    if not catalog.is_file():
        raise MissingInputError(f"{catalog} does not exist: no table was made yet. Run `mmsra refresh`.")
    with _opened(paths, catalog) as connection:
        try:
            found = connection.execute(query)
            return [name for name, *_ in found.description or ()], [list(map(str, row)) for row in found.fetchall()]
        except duckdb.Error as error:
            raise DataError(f"DuckDB refuses the query: {error}. `mmsra tables` names tables and columns.") from None


def _opened(paths: Paths, catalog: Path) -> "duckdb.DuckDBPyConnection":
    """Open the catalog, a new one where a program that opened it to write keeps others out or left a log behind."""
    import duckdb

    try:
        return duckdb.connect(str(catalog), read_only=True)
    except duckdb.IOException:  # a new file has no lock
        Store.of(paths).refresh_catalog()
    try:
        return duckdb.connect(str(catalog), read_only=True)
    except duckdb.IOException as error:
        raise DataError(f"{catalog} cannot be opened: {error}. Close what has it open.") from None
