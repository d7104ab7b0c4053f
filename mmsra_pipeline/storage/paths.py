"""Where things lie below the project's root: a local folder, or an object store with a folder that mirrors it here."""

import os
from dataclasses import dataclass
from pathlib import Path

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.mirror import NOTHING, Remote

ROOT_VARIABLE = "MMSRA_ROOT"


@dataclass(frozen=True)
class Paths:
    """The folders of one installation. Nothing is written outside ``root``, but for the object store behind it."""

    root: Path
    remote: Remote = NOTHING
    """What stands behind ``root``, if that mirrors an object store."""

    @property
    def data(self) -> Path:
        """Table slices and the DuckDB catalog."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """Images, adapters, checkpoints, the backbone."""
        return self.root / "artifacts"

    @property
    def work(self) -> Path:
        """Checkpoints of trainings that have not ended, and the locks of who computes."""
        return self.artifacts / "work"

    @property
    def caches(self) -> Path:
        """What would be costly to compute again (``storage.keyed_cache``); any may be deleted while nothing runs."""
        return self.artifacts / "caches"

    @property
    def scores(self) -> Path:
        """Caches of scores of candidates, one a data set and asset."""
        return self.caches / "scores"

    @property
    def keywords(self) -> Path:
        """The cache of what summarizers wrote."""
        return self.caches / "keywords.sqlite"

    @property
    def verification(self) -> Path:
        """The cache of what a summarizer said when it was asked about its keywords."""
        return self.caches / "verification.sqlite"

    @property
    def shared_caches(self) -> tuple[Path, ...]:
        """Those that machines share in the object store, if the root mirrors one: what they hold cost hours."""
        return self.keywords, self.verification

    @property
    def sentences(self) -> Path:
        """The cache of sentence embeddings."""
        return self.caches / "sentences.sqlite"

    @property
    def datasets(self) -> Path:
        """One YAML a dataset; each becomes a partition."""
        return self.root / "datasets"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance, unless ``DAGSTER_HOME`` names another."""
        return Path(os.environ.get("DAGSTER_HOME") or self.root / "dagster_home")

    @property
    def file_hashes(self) -> Path:
        """The cache of hashes of source files."""
        return self.caches / "file_hashes.sqlite"

    @property
    def readings(self) -> Path:
        """The cache of how far readings of sources came, by the slice of reviews that each made."""
        return self.caches / "readings.sqlite"

    @property
    def mlflow_uri(self) -> str:
        """The MLflow tracking store, unless ``MLFLOW_TRACKING_URI`` names another."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow.db'}"


def find_paths() -> Paths:
    """Return the root: ``$MMSRA_ROOT``, else the nearest folder upwards that has a workspace.yaml.

    Of a root in an object store the descriptions of data sets are brought here; the rest comes when it is wanted.

    Raises:
        ConfigError: if neither leads to a folder, or the object store that it names cannot be used.
        StorageError: if the object store does not answer.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        if "://" in named:
            from mmsra_pipeline.storage.object_store_root import open_root

            paths = Paths(*open_root(named, ROOT_VARIABLE))
            paths.remote.mirror(paths.datasets)
            return paths
        root = Path(named).expanduser().resolve()
        root.mkdir(parents=True, exist_ok=True)
        return Paths(root)
    folder = local_root()
    if folder is not None:
        return Paths(folder)
    raise ConfigError(
        f"no workspace.yaml in {Path.cwd().resolve()} or above it, so the project's root is unknown. "
        f"Change to the project's folder, or set {ROOT_VARIABLE} to the folder that holds (or shall hold) the data."
    )


def local_root() -> Path | None:
    """Return the root, if it is a folder of this machine; None if it is unknown, or in an object store."""
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return None if "://" in named else Path(named).expanduser().resolve()
    here = Path.cwd().resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "workspace.yaml").is_file()), None)
