"""The SQLite database of MLflow, made as a whole or not at all."""

from pathlib import Path

from mmsra_pipeline.storage.files import sweep, sync_file, sync_folder, temporary
from mmsra_pipeline.storage.locks import locked


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
