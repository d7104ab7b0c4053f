import sqlite3

import mlflow
import pytest
from mlflow.store.tracking import sqlalchemy_store

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.telemetry.mlflow_database import make_database, schema_state
from mmsra_pipeline.telemetry.tracking import mlflow_run


def left(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_the_database_is_there_as_a_whole_and_serves(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    make_database(uri)
    assert left(tmp_path) == ["mlflow.db"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.create_run(client.create_experiment("e"))
    before = (tmp_path / "mlflow.db").stat()
    make_database(uri)
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    assert (tmp_path / "mlflow.db").stat().st_ino == before.st_ino


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


def database_of(revision, uri):
    """Make the tables say that another version of MLflow made them."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as tables:
        tables.execute("update alembic_version set version_num = ?", [revision])
    return uri


def test_tables_of_the_installed_version_are_fit(uri, tmp_path):
    missing = f"sqlite:///{tmp_path / 'new.db'}"
    assert schema_state(missing) == (f"{missing} is made by the first training", "")
    assert schema_state(uri) == (f"{uri} fits MLflow {mlflow.__version__}", "")
    assert schema_state("https://ann:secret-word@host") == ("a server: https://***@host", "")
    assert schema_state(str(tmp_path / "mlruns"))[1] == ""


def test_tables_of_an_older_version_are_said_with_the_command_that_upgrades_them(uri, tmp_path):
    database_of("bda7b8c39065", uri)
    found, fix = schema_state(uri)
    assert f"older MLflow than the installed {mlflow.__version__}" in found
    assert f"`mlflow db upgrade {uri}`" in fix
    with pytest.raises(ConfigError, match="mlflow db upgrade sqlite:///"), mlflow_run(uri, "a", {}, tmp_path):
        pytest.fail("it was opened")


def test_tables_of_a_newer_version_are_said_with_what_reads_them(uri):
    found, fix = schema_state(database_of("0123456789ab", uri))
    assert "newer MLflow" in found
    assert "`pip install --upgrade mlflow`" in fix
    assert "MLFLOW_TRACKING_URI" in fix


def test_what_is_no_database_is_said(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    found, fix = schema_state(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert "could not be read" in found
    assert "not a database" in found
    assert fix == ""
