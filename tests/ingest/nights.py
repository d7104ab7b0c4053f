"""Night after night on one data set: what the asset ``raw_reviews`` does, without Dagster."""

from functools import partial
from pathlib import Path

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.ingest import delimited, dialect, json_rows, lines, parquet, records, source_files
from mmsra_pipeline.ingest.containers import begin_of
from mmsra_pipeline.ingest.raw_tables import ITEMS, REVIEWS
from mmsra_pipeline.ingest.reading import load
from mmsra_pipeline.ingest.rejects import REJECTS
from mmsra_pipeline.ingest.resuming import ReadingMemory
from mmsra_pipeline.storage import growing, table_writer
from mmsra_pipeline.storage.growing import GrowingWriter
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.tables import Store

BLOCK, SAMPLE = 300, 500
TABLES = (Tables.RAW_REVIEWS, Tables.RAW_ITEMS, Tables.REJECTS)


def small(monkeypatch) -> list[int]:
    """Make blocks, chunks and groups small, and return a list to which each block read adds its bytes."""
    read: list[int] = []

    def counted(path, **options):
        for block in lines.read_blocks(path, BLOCK, **options):
            read.append(len(block.content))
            yield block

    monkeypatch.setattr(source_files, "read_blocks", counted)
    for module in (delimited, json_rows, parquet):
        monkeypatch.setattr(module, "CHUNK_ROWS", 5)
    for module in (records, delimited):
        monkeypatch.setattr(module, "RECORD_LINES", 4)
    monkeypatch.setattr(dialect, "begin_of", partial(begin_of, size=SAMPLE))
    monkeypatch.setattr(dialect, "SAMPLE_BYTES", SAMPLE)
    for module in (growing, table_writer):
        monkeypatch.setattr(module, "GROUP_ROWS", 7)
    return read


def night(root: Path, spec, publish=True):
    """Read as the asset does. Return what was loaded, and how many reviews were taken over; or the error."""
    paths = Paths(root)
    store = Store.of(paths)
    try:
        memory = ReadingMemory(spec, paths, store, "1")
        earlier = memory.start()
        opened = partial(GrowingWriter, beginning=earlier.beginning if earlier else None)
        with (
            store.duckdb() as connection,
            store.staging(Tables.REJECTS, spec.name, REJECTS) as rejects,
            store.staging(Tables.RAW_ITEMS, spec.name, ITEMS) as items,
            store.staging(Tables.RAW_REVIEWS, spec.name, REVIEWS, opened) as reviews,
        ):
            loaded = load(spec, root, connection, reviews.write, items.write, rejects.write, earlier)
        memory.keep(loaded.marks, reviews, rejects.slice)
    except MmsraError as error:
        return str(error), 0
    if publish:
        store.publish([rejects.slice, items.slice, reviews.slice])
    return loaded, earlier.mark.reviews if earlier else 0


def tables(root: Path, spec):
    """The versions and the rows of all tables."""
    store = Store.of(Paths(root))
    return {
        name: (store.current(name, spec.name).version, store.read_arrow(name, spec.name).to_pylist()) for name in TABLES
    }
