"""Goes on with the reading of a source that has grown, from the last place before which nothing changed.

Beside each slice of raw reviews a cache holds the marks of its reading (``ingest.marks``), hashes of the files and of
what was seen of them, and digests of the slice's groups. Whoever reads next compares, takes over the rows before the
last mark that still holds, and reads what comes behind it. Without the cache, or where it does not fit what readers
see, all is read: what results is the same.
"""

import inspect
import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import duckdb

from mmsra_pipeline.columns import ITEM, Tables
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.ingest.marks import Mark, MarkingReader, Marks
from mmsra_pipeline.ingest.picture_paths import ItemPictures
from mmsra_pipeline.ingest.raw_tables import ORDER
from mmsra_pipeline.ingest.reading import files_reader
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.growing import Beginning, GrowingWriter
from mmsra_pipeline.storage.hashing import beginning_hash, fingerprint
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.slices import Slice, SliceWriter
from mmsra_pipeline.storage.tables import Store

FORM: Final = 2  # of what is kept
READ_BY: Final = ("numpy", "orjson", "pandas", "pyarrow", "zlib-ng")
"""Libraries of which another version may read rows otherwise."""
ROOM: Final = Path(__file__).parent
EARLIER_REJECTS: Final = """
from read_parquet($rejects, hive_partitioning = false)
where list_contains($whole, file) or (file = $within and line < $line)
"""
EARLIER_ITEMS: Final = f"""
select distinct {ITEM} from read_parquet($reviews, hive_partitioning = false) where "{ORDER}" < $count
"""
logger = logging.getLogger(__name__)


def code_of(folder: Path) -> str:
    """Return a hash of all source code below a folder.

    Readers are found by name, so an asset's code version does not know them and what they import.
    """
    files = sorted(folder.rglob("*.py"))
    return fingerprint([[path.relative_to(folder).as_posix(), path.read_text("utf-8")] for path in files])


@dataclass(frozen=True)
class Resumption:
    """Where a reading goes on, and what it takes over."""

    mark: Mark
    beginning: Beginning
    """The reviews."""
    rejects: Path
    """The slice of rejects that holds those of the reviews before the mark, among others."""
    whole: tuple[str, ...]
    """What rejects call the files that were read to their end before the mark."""

    def restore(self, connection: duckdb.DuckDBPyConnection, pictures: ItemPictures) -> None:
        """Put the rejects before the mark into the table ``refused``, and show the items before it to the pictures."""
        connection.execute(f"insert into refused select file, line, reason, text {EARLIER_REJECTS}", self._asked())
        if pictures.has_any:
            given = {"reviews": str(self.beginning.path), "count": self.mark.reviews}
            pictures.note_reviewed(connection.sql(EARLIER_ITEMS, params=given).to_arrow_table().column(ITEM))

    def fits(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the slice of rejects holds as many as were refused before the mark."""
        found = connection.execute(f"select count(*) {EARLIER_REJECTS}", self._asked()).fetchone()
        return found == (self.mark.refused,)

    def _asked(self) -> dict[str, Any]:
        within, line = (self.mark.label, self.mark.place.line) if self.mark.place else (None, None)
        return {"rejects": str(self.rejects), "whole": list(self.whole), "within": within, "line": line}


class ReadingMemory:
    """What is remembered of the last reading of a data set; to be asked before the next, and filled after it.

    Raises:
        MissingInputError: if source files are not there.
    """

    def __init__(self, spec: DatasetSpec, paths: Paths, store: Store, code_version: str) -> None:
        """``code_version``: of the asset; what other code had read is not taken over."""
        self._spec, self._paths, self._store = spec, paths, store
        self._reader = None if source_formats()[spec.format].made_by_code else _marking(files_reader(spec))
        own = [Path(inspect.getfile(type(self._reader))).read_text("utf-8")] if self._reader else []  # of any package
        libraries = [platform.python_version(), *map(version, READ_BY)]
        self._how = fingerprint(FORM, code_version, code_of(ROOM), own, libraries, spec.format, spec.options)
        self._before = self._hashes()
        self._begin: Mark | None = None
        self._known: dict[str, Any] = {}

    def start(self) -> Resumption | None:
        """Return where reading goes on; None: at the beginning."""
        current = self._current()
        if self._reader is None or current is None:
            return None
        reviews, rejects = current
        with KeyedCache[str](self._paths.readings) as cache:
            kept = cache.get(reviews.version)
        known = json.loads(kept) if kept else {}
        if (known.get("how"), known.get("rejects")) != (self._how, rejects.version):
            return None
        mark, whole = self._last_mark(self._reader, known)
        if mark is None or not mark.reviews:
            return None
        beginning = Beginning(reviews.path, mark.reviews, tuple(known["groups"]))
        found = Resumption(mark, beginning, rejects.path, tuple(whole))
        with self._store.duckdb() as connection:
            if not found.fits(connection):
                logger.warning("%s: rejects do not fit what was read; all is read again", self._spec.name)
                return None
        place = f"line {mark.place.line} of {mark.label}" if mark.place else f"the end of {mark.label}"
        logger.info("%s: reading goes on at %s, behind %d reviews", self._spec.name, place, mark.reviews)
        self._begin, self._known = mark, known
        return found

    def keep(self, marks: Marks | None, reviews: SliceWriter, rejects: Slice) -> None:
        """Remember a reading, by the slices that were staged of it, unless its files changed meanwhile."""
        if self._reader is None or marks is None or self._hashes() != self._before:
            return
        files = self._reader.files()
        if len(set(files)) < len(files):  # reviews and items in one file: its rejects are of either
            return
        earlier = self._earlier()
        paths = {label: path for path, label in self._reader.review_files()}
        within = {label: self._with_prefix(paths[label], mark) for label, mark in marks.within.items()}
        known = {
            "how": self._how,
            "rejects": rejects.version,
            "groups": cast(GrowingWriter, reviews).groups,
            "files": [[label, self._before[label]] for label in paths],
            "within": earlier["within"] | within,
            "ends": earlier["ends"] | {label: asdict(mark) for label, mark in marks.ends.items()},
        }
        with KeyedCache[str](self._paths.readings) as cache:
            cache.put({reviews.slice.version: json.dumps(known)})

    def _last_mark(self, reader: MarkingReader, known: Mapping[str, Any]) -> tuple[Mark | None, list[str]]:
        """Return the last mark that still holds, and the files that come before it."""
        mark, whole, passed = None, [], []
        for (path, label), (former, sha256) in zip(reader.review_files(), known["files"]):
            if label != former:
                break
            if self._before[label] == sha256:
                passed.append(label)
                if label in known["ends"]:
                    mark, whole = Mark.of_json(known["ends"][label]), list(passed)
                continue
            found = known["within"].get(label)
            within = Mark.of_json(found["mark"]) if found else None
            if within and _same_beginning(path, within, found["seen"]) and reader.goes_on(within):
                mark, whole = within, passed
            break
        return mark, whole

    def _earlier(self) -> dict[str, dict[str, Any]]:
        """Return the marks of the last reading that still hold: those up to where this one began."""
        if self._begin is None:
            return {"within": {}, "ends": {}}
        labels = [label for label, _ in self._known["files"]]
        at = labels.index(self._begin.label)
        ended = labels[: at + (self._begin.place is None)]
        within, ends = self._known["within"], self._known["ends"]
        return {
            "within": {label: within[label] for label in labels[: at + 1] if label in within},
            "ends": {label: ends[label] for label in ended if label in ends},
        }

    def _with_prefix(self, path: Path, mark: Mark) -> dict[str, Any]:
        assert mark.place is not None
        whole = path.stat().st_size == mark.place.seen
        seen = self._before[mark.label] if whole else beginning_hash(path, mark.place.seen)
        return {"mark": asdict(mark), "seen": seen}

    def _hashes(self) -> dict[str, str]:
        if self._reader is None:
            return {}
        with FileHashes(self._paths.file_hashes) as hashes:
            return {label: hashes.of(path) for path, label in self._reader.review_files()}

    def _current(self) -> tuple[Slice, Slice] | None:
        name = self._spec.name
        if not (self._store.has(Tables.RAW_REVIEWS, name) and self._store.has(Tables.REJECTS, name)):
            return None
        return self._store.current(Tables.RAW_REVIEWS, name), self._store.current(Tables.REJECTS, name)


def _same_beginning(path: Path, mark: Mark, sha256: str) -> bool:
    return mark.place is not None and beginning_hash(path, mark.place.seen) == sha256


def _marking(reader: object) -> MarkingReader | None:
    return cast(MarkingReader, reader) if hasattr(reader, "reviews_from") else None
