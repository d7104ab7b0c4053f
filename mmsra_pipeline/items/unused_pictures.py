"""Stored pictures that no table refers to."""

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from mmsra_pipeline import columns as c
from mmsra_pipeline.items.picture_store import KIND, SUFFIX
from mmsra_pipeline.items.web.fetch_journal import bring_journal
from mmsra_pipeline.items.web.fetching import JOURNAL
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.mirror import Entry

BLOB = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")


def unused_pictures(artifacts: Artifacts, slices: Iterable[Path]) -> Iterator[Entry]:
    """Return the files of stored pictures that neither ``slices`` nor the journal of fetched pictures names.

    Args:
        artifacts: keep the pictures and the journal.
        slices: all versions of ``item_images``, of all data sets, that are kept.
    """
    bring_journal(artifacts.root / KIND / JOURNAL, artifacts.remote)
    used = _named_by(slices) | _journalled(artifacts.root / KIND / JOURNAL)
    return _others(artifacts, used)


def _others(artifacts: Artifacts, used: Collection[str]) -> Iterator[Entry]:
    for entry in artifacts.blobs(KIND):
        if BLOB.fullmatch(entry.path.name) and entry.path.stem not in used:
            yield entry


def _named_by(slices: Iterable[Path]) -> set[str]:
    used: set[str] = set()
    for path in slices:
        column = pq.read_table(path, columns=[c.IMAGE_HASH], partitioning=None)[c.IMAGE_HASH]
        used.update(column.drop_null().to_pylist())
    return used


def _journalled(path: Path) -> set[str]:
    """Pictures that were fetched are kept: they may serve without being asked for again."""
    if not path.is_file():
        return set()
    connection = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)
    try:
        return {found for (found,) in connection.execute("select image_sha256 from pictures") if found}
    finally:
        connection.close()
