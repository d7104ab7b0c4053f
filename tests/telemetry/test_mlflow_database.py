import sqlite3

import mlflow
import pytest
from mlflow.store.tracking import sqlalchemy_store

from mmsra_pipeline.telemetry.mlflow_database import make_database


def left(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_the_database_is_there_as_a_whole_and_serves(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    make_database(uri)
    assert left(tmp_path) == ["mlflow.db"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.create_run(client.create_experiment("e"))
    made = (tmp_path / "mlflow.db").stat()
    make_database(uri)
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    assert (tmp_path / "mlflow.db").stat().st_ino == made.st_ino


def test_one_that_is_interrupted_midway_leaves_no_half_made_database(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def torn(place: str, *_):
        with sqlite3.connect(place.removeprefix("sqlite:///")) as database:
            database.execute("create table trace_info (request_id text)")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sqlalchemy_store, "SqlAlchemyStore", torn)
        with pytest.raises(KeyboardInterrupt):
            make_database(uri)
    assert left(tmp_path) == []
    make_database(uri)
    mlflow.MlflowClient(tracking_uri=uri).create_experiment("e")


def test_what_a_killed_process_left_half_made_is_removed(tmp_path):
    (tmp_path / ".999999-1-0123abcd.tmp").write_bytes(b"half a database")
    make_database(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert left(tmp_path) == ["mlflow.db"]


def test_what_is_no_file_of_sqlite_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for uri in ("https://mlflow.example", "postgresql://host/db", "sqlite:///:memory:", "sqlite://"):
        make_database(uri)
    assert left(tmp_path) == []
