"""The SQLite database of MLflow, made as a whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mmsra_pipeline.errors import ConfigError, TrackingError
from mmsra_pipeline.storage.files import sweep, sync_file, sync_folder, temporary
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.telemetry.credentials import cleaned, redacted
from mmsra_pipeline.telemetry.losing import passes

DATABASES: Final = ("sqlite", "postgresql", "mysql", "mssql")


def make_database(uri: str) -> None:
    """Make the database of a tracking store where it is an SQLite file that is missing.

    MLflow makes its tables in dozens of steps. A process that is killed among them leaves a file with which every later
    start fails; so they are made beside the place.
    """
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.engine import make_url

    if not uri.startswith("sqlite:"):
        return
    name = make_url(uri).database
    if not name or name == ":memory:" or (place := Path(name)).exists():
        return
    with locked(place.parent / f".{place.name}.lock", "the database of MLflow"):
        if place.exists():
            return
        sweep(place.parent)
        building = temporary(place.parent)
        try:
            SqlAlchemyStore(f"sqlite:///{building}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
            sync_file(building)
            building.replace(place)
            sync_folder(place.parent)
        finally:
            building.unlink(missing_ok=True)


@contextlib.contextmanager
def opening(uri: str) -> Iterator[None]:
    """Say in plain words why a run cannot be opened.

    Raises:
        ConfigError: if another version of MLflow made the database.
        TrackingError: if it is locked or does not answer.
    """
    try:
        yield
    except Exception as error:
        found, fix = schema_state(uri)
        if fix:
            raise ConfigError(f"MLflow's database: {found}. {fix}") from None
        if passes(error) and not isinstance(error, TrackingError):
            first = cleaned(str(error).splitlines()[0], uri)
            raise TrackingError(f"MLflow cannot open a run in {redacted(uri)}: {first}. Try again later.") from None
        raise


def schema_state(uri: str) -> tuple[str, str]:
    """Say what tables a tracking store has, and how to fix it where the installed MLflow cannot use them; else ''."""
    from mlflow import __version__
    from mlflow.store.db.utils import _get_alembic_config
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    address = redacted(uri)
    try:
        url = make_url(uri)
    except ArgumentError:
        return f"a store without tables: {address}", ""
    if url.drivername.partition("+")[0] not in DATABASES:
        return f"a server: {address}", ""
    if url.drivername == "sqlite" and not (url.database and Path(url.database).is_file()):
        return f"{address} is made by the first training", ""
    try:
        found = _revision(uri)
    except (SQLAlchemyError, ImportError) as error:
        return f"{address} could not be read: {cleaned(str(error).splitlines()[0], uri)}", ""
    known = _known_revisions(_get_alembic_config(db_url=""))
    if found is None or found == known[0]:
        return f"{address} fits MLflow {__version__}", ""
    if found in known:
        command = f"mlflow db upgrade {address}"
        return f"{address} is of an older MLflow than the installed {__version__}", f"Copy it, then run `{command}`."
    return (
        f"{address} is of a newer MLflow than the installed {__version__}, or of none",
        "Install that MLflow (`pip install --upgrade mlflow`), or name another store in MLFLOW_TRACKING_URI.",
    )


def _revision(uri: str) -> str | None:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _known_revisions(settings: Any) -> list[str]:
    """Return the revisions that the installed MLflow knows, its own first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()]
