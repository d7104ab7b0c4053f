import shutil

import pytest

from mmsra_pipeline.telemetry.mlflow_database import make_database


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A file with MLflow's tables, which take seconds to make."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    make_database(f"sqlite:///{file}")
    return file


@pytest.fixture
def uri(database, tmp_path):
    """A tracking store with nothing in it, ``tmp_path``/mlflow.db."""
    shutil.copy(database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
