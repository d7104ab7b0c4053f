"""What an asset works with: tables, artifacts, settings and devices, for one data set."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.datasets import DatasetSpec, load_dataset
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.settings_read import full_settings, loaded_config, settings_of
from mmsra_pipeline.storage.disk import check_free
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import device_lock
from mmsra_pipeline.telemetry.memory import PeakMemory

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from mmsra_pipeline.backbone.model import Backbone
    from mmsra_pipeline.items.images import ItemImages
    from mmsra_pipeline.orchestration.materializations import Materialization
    from mmsra_pipeline.storage.artifacts import Artifacts
    from mmsra_pipeline.storage.slices import Slice, SliceWriter
    from mmsra_pipeline.storage.tables import Store
    from mmsra_pipeline.telemetry.tracking import MlflowTracker, Tracker

MLFLOW_TAG: Final = "mmsra/mlflow_run"


@dataclass
class Stage:
    """The place of one asset and data set. It notes what is read and written, for versions and reports."""

    asset: str
    dataset: str
    run_id: str
    code_version: str
    config: Config
    paths: Paths
    inputs: dict[str, str] = field(default_factory=dict)
    """Versions of what was read, by name."""
    work: str | None = None
    """A fingerprint of what is read: code, settings, inputs. None: not known."""
    slices: "list[tuple[Slice, pd.DataFrame]]" = field(default_factory=list)
    """What was written, with its first rows: staged until ``make_current``."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Versions of what was written and is read by later assets, by name."""
    staged: Path | None = None
    """The version of the asset's artifact that was made: staged until ``make_current``."""
    blocking: frozenset[str] = frozenset()
    """Checks without which nothing becomes current."""
    before: "Callable[[], list[Materialization]]" = list
    """Gives the last materializations of the asset, the newest first."""
    mlflow_run_id: str | None = None
    started: float = field(default_factory=time.monotonic)
    memory: PeakMemory = field(default_factory=PeakMemory)
    """Of this process since the stage began."""
    tag_run: Callable[[dict[str, str]], None] = lambda _tags: None
    """Adds tags to the run of Dagster."""
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Is closed when the stage has ended."""
    _devices: set[str] = field(default_factory=set)

    @property
    def store(self) -> "Store":
        """The tables of the installation."""
        from mmsra_pipeline.storage.tables import Store

        limits = loaded_config().limits
        return Store.of(self.paths, memory_limit=f"{limits.duckdb_memory_gb}GB", threads=limits.duckdb_threads)

    @property
    def artifacts(self) -> "Artifacts":
        """The artifacts of the installation."""
        from mmsra_pipeline.storage.artifacts import Artifacts

        return Artifacts.of(self.paths)

    @property
    def spec(self) -> DatasetSpec:
        """What the data set's file says."""
        return load_dataset(self.paths.datasets, self.dataset)

    @property
    def source_folder(self) -> Path:
        """Where a data set that is made by code puts its source files."""
        return self.paths.artifacts / "sources" / self.dataset

    def slice_of(self, table: str) -> "Slice":
        """Return the slice that this asset has staged, else the one that readers see."""
        for written, _ in self.slices:
            if written.table == table:
                return written
        current = self.store.current(table, self.dataset)
        self.inputs[table] = current.version
        return current

    def read(self, table: str) -> "pd.DataFrame":
        """Return the current rows of a table; of one that this asset has written, the new ones."""
        return self.slice_of(table).read()

    def path(self, table: str) -> Path:
        """Return the Parquet file with these rows, for work that does not load them all."""
        return self.slice_of(table).path

    def images(self) -> "ItemImages":
        """Return the stored pictures of the catalogue."""
        from mmsra_pipeline.items.images import ItemImages

        return ItemImages(self.artifacts, self.read(Tables.ITEM_IMAGES))

    def training_interactions(self) -> "pd.DataFrame":
        """Return the interactions that training may see."""
        from mmsra_pipeline.interactions.query_table import read_training

        return read_training(self.path(Tables.INTERACTIONS), self.path(Tables.TRAINING_BOUNDS))

    def previous(self, table: str | None = None) -> "pd.DataFrame | None":
        """Return the rows that this asset wrote last, if it did; those of its own table, or of a table beside it."""
        table = table or self.asset
        return self.store.read(table, self.dataset) if self.store.has(table, self.dataset) else None

    def write(self, table: str, rows: "pd.DataFrame | pa.RecordBatchReader", *, read_on: bool = True) -> None:
        """Stage ``rows`` of a table: they are current once the checks have passed.

        ``read_on``: later assets read it, so it counts as output.
        """
        import pyarrow as pa

        from mmsra_pipeline.storage.table_writer import as_table

        batches = rows if isinstance(rows, pa.RecordBatchReader) else as_table(rows).to_reader()
        with self.writer(table, batches.schema, read_on=read_on) as writing:
            for batch in batches:
                writing.write(batch)

    @contextlib.contextmanager
    def writer(self, table: str, schema: "pa.Schema", *, read_on: bool = True, **how: Any) -> "Iterator[SliceWriter]":
        """Take the rows of a table in batches; as ``write`` otherwise. ``how``: see ``Store.staging``."""
        with self.store.staging(table, self.dataset, schema, **how) as writing:
            yield writing
        self.slices.append((writing.slice, writing.head.to_pandas()))
        if read_on:
            self.outputs[table] = writing.slice.version

    def artifact(self, kind: str) -> Path:
        """Return the current folder of an artifact of this data set; of this asset's own, the one that it made."""
        if kind == self.asset and self.staged:
            return self.staged
        folder = self.artifacts.current(kind, self.dataset)
        self.inputs[f"artifact {kind}"] = folder.name
        return folder

    def adapters(self, *kinds: str) -> list[Path]:
        """Return the adapters that these trainings made, in order; a training that was switched off made none."""
        return [self.artifact(kind) for kind in kinds if len(self.read(kind))]

    @contextlib.contextmanager
    def publish(self, *, read_on: bool = True) -> Iterator[Path]:
        """Return an empty folder to fill: the artifact of this asset and data set, once the checks have passed.

        ``read_on``: later assets read it, so it counts as the output.
        """
        with self.artifacts.staging(self.asset, self.dataset) as staged:
            yield staged.building
        self.staged = staged.place
        if read_on:
            self.outputs = {f"artifact {self.asset}": self.staged.name}

    def make_current(self) -> None:
        """Move the pointers to what was staged, one directly after the other.

        That of the asset's own table moves last: it is there only where all the others are. A kill between two leaves
        the asset without a materialization of what it made, so that it is made again.
        """
        if self.staged:
            self.artifacts.point(self.staged)
        self.store.publish([written for written, _ in reversed(self.slices)])

    def fingerprint(self) -> str:
        """Name the work by code, settings and what was read so far: other work never resumes it."""
        from mmsra_pipeline.storage.hashing import fingerprint

        return fingerprint(self.code_version, settings_of(self.asset, self.config), self.inputs)

    def workdir(self) -> Path:
        """Return a folder for resumable work on what was read so far."""
        return self.artifacts.workdir(self.asset, self.dataset, self.fingerprint())

    def score_file(self) -> Path:
        """Return the file for scores of this asset, of which later runs take over what did not change."""
        return self.paths.scores / self.dataset / f"{self.asset}.sqlite"

    def take_device(self, wanted: str) -> None:
        """Wait until no other process has a model on the device, and keep it until this stage has ended.

        ``wanted`` is a value of ``backbone.device``.
        """
        from mmsra_pipeline.backbone.devices import device_name

        name = device_name(wanted)
        if name not in self._devices:
            self.held.enter_context(locked(device_lock(self.paths, name), f"the device {name}"))
            self._devices.add(name)

    def backbone(self, *adapters: str, tuned: tuple[str, ...] = (), **options: Any) -> "Backbone":
        """Return the backbone with what these trainings made. It takes the device when it reads its weights.

        ``tuned``: trainings on what ``layers`` keeps. Options: those of ``open_backbone``.
        """
        from mmsra_pipeline.backbone.model import open_backbone

        config = self.config.backbone
        take = functools.partial(self.take_device, config.device)
        merged, tuned_on = self.adapters(*adapters), self.adapters(*tuned)
        return open_backbone(config, self.artifacts, merged, tuned=tuned_on, before_reading=take, **options)

    def loaded_backbone(self, *adapters: str, **options: Any) -> "Backbone":
        """Return the same with its weights read: a training that reads them later draws other random numbers."""
        backbone = self.backbone(*adapters, **options)
        _ = backbone.model
        return backbone

    @contextlib.contextmanager
    def training(self, device: str) -> "Iterator[tuple[Path, Tracker]]":
        """Take the device (a value of ``backbone.device``); give a folder for resumable work, and an MLflow run."""
        check_free(self.paths.root, loaded_config().retention.min_free_gb, f"training {self.asset}")
        self.take_device(device)
        with self.tracked() as tracker:
            yield self.workdir(), tracker

    @contextlib.contextmanager
    def tracked(self) -> "Iterator[MlflowTracker]":
        """Give an MLflow run of this stage with all settings; what the stage reports goes there too."""
        from mmsra_pipeline.telemetry.tracking import DAGSTER_RUN, mlflow_run

        tags = {"dataset": self.dataset, "asset": self.asset, DAGSTER_RUN: self.run_id}
        name = f"{self.asset} {self.dataset}"
        with mlflow_run(self.paths.mlflow_uri, name, tags, self.paths.artifacts) as tracker:
            self.mlflow_run_id = tracker.run_id
            if tracker.parent_id:
                self.tag_run({MLFLOW_TAG: tracker.parent_id})
            tracker.log_params(full_settings(self.config))
            yield tracker
