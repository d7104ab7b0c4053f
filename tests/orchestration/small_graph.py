"""Small assets in place of the real ones, of the same names: source_files -> raw_reviews -> interactions."""

from pathlib import Path

import dagster as dg
import pandas as pd

from mmsra_pipeline.config.datasets import DatasetSpec, write_dataset
from mmsra_pipeline.errors import DataError, StorageError
from mmsra_pipeline.orchestration.outcome import MaterializedAsset
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.storage.tables import Store

BOTH = [MaterializedAsset("raw_reviews", "shop"), MaterializedAsset("interactions", "shop")]
SECONDS = 100.0
"""What each asset says that it took."""
MEMORY = 1.5


def add_shop(paths: Paths, name: str, content: str = "user_id,item_id\nu1,i1\n") -> Path:
    """Describe a data set and give the file with its interactions."""
    folder = paths.root / "sources" / name
    folder.mkdir(parents=True)
    file = folder / "interactions.csv"
    file.write_text(content)
    (folder / "items.csv").write_text("item_id,title\ni1,Mug\n")
    write_dataset(paths.datasets, DatasetSpec(name=name, format="tables", path=folder))
    return file


def small_graph(*more: dg.AssetsDefinition) -> dg.Definitions:
    """The assets below, and ``more``, with their job."""
    job = dg.define_asset_job("everything", partitions_def=datasets)
    return dg.Definitions(assets=[source_files, raw_reviews, interactions, *more], jobs=[job])


def written(table: str, name: str, rows: pd.DataFrame) -> dg.MaterializeResult:
    """Write a table and report it."""
    stored = Store(find_paths().data).replace(table, name, rows)
    where = dg.MetadataValue.path(stored.path)
    metadata = {"dagster/row_count": stored.rows, "seconds": SECONDS, "peak_memory_gb": MEMORY, "slice": where}
    return dg.MaterializeResult(data_version=dg.DataVersion(stored.version), metadata=metadata)


@dg.observable_source_asset(partitions_def=datasets)
def source_files():
    """Observed by the refresh."""
    return dg.DataVersionsByPartition({})


@dg.asset(deps=["source_files"], partitions_def=datasets, code_version="1")
def raw_reviews(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Notes how many lines the source has."""
    source = find_paths().root / "sources" / context.partition_key / "interactions.csv"
    lines = source.read_text().splitlines()
    if "broken" in lines[-1]:
        raise DataError("interactions.csv, line 2: column item_id is missing. Add it.") from KeyError("item_id")
    if "away" in lines[-1]:
        raise StorageError("the store does not answer") from OSError("reset by peer")
    if "bug" in lines[-1]:
        raise KeyError("bug")
    return written("raw_reviews", context.partition_key, pd.DataFrame({"lines": [len(lines)]}))


@dg.asset(deps=["raw_reviews"], partitions_def=datasets, code_version="1")
def interactions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Copies the count."""
    rows = Store(find_paths().data).read("raw_reviews", context.partition_key)
    return written("interactions", context.partition_key, rows)
