"""Reader of ``format: microlens``: pairs in order, with or without times, titles, and covers where there are some."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import SourceFormat
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.cells import TimeReader
from mmsra_pipeline.ingest.column_matching import column_names
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.raw_tables import FILE, LINE, READ_ITEMS, READ_REVIEWS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import fitting, optional_folder, picture_folder, source_folder, tracked_blocks
from mmsra_pipeline.ingest.text_reviews import ReviewCells
from mmsra_pipeline.ingest.text_rows import is_utf8

PAIRS = ("*_pairs.csv*", "*_pairs.tsv*")  # those with times first
TITLES = ("*_titles.csv*", "*_title*.csv*")
COLUMNS = {c.USER: "user", c.ITEM: "item", c.TIME: "timestamp"}
HEADER = ("item", "title")
NO_TITLE = "null"
logger = logging.getLogger(__name__)


class MicrolensOptions(Section):
    """Options of ``format: microlens``. File names are patterns below ``path``; each must fit one file."""

    pairs: str | None = None
    """Not set: ``*_pairs.csv`` (with times), else ``*_pairs.tsv``."""
    titles: str | None = None
    """Not set: ``*_titles.csv``, else ``*_title*.csv``."""
    covers: str | None = None
    """Folder of the covers. Not set: ``covers``, else the one folder that fits ``*covers*``."""


class MicrolensReader:
    """Reads a data set of ``format: microlens``; see ``raw.Reader``.

    Raises:
        MissingInputError: if the folder or a file is not there.
        DataError: if a pattern fits several files.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        options = MicrolensOptions.model_validate(spec.options)
        self._home = source_folder(spec)
        self._where = str(spec.file or f"the YAML of {spec.name!r}")
        self._pairs = self._one(options.pairs, PAIRS, "pairs", spec)
        self._titles = self._one(options.titles, TITLES, "titles", spec)
        self.image_root = self._covers(options.covers, spec)

    def files(self) -> list[Path]:
        """Pairs and titles."""
        return [self._pairs, self._titles]

    def reviews(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_REVIEWS``; times are null if the pairs have none."""
        label = self._pairs.relative_to(self._home).as_posix()
        if ".csv" not in self._pairs.name:
            yield from read_pairs(tracked_blocks(self._pairs), label, sink)
            return
        cells = ReviewCells(TimeReader(label), label, sink)
        for rows in read_text_rows(self._pairs, label, "|", sink):
            names = column_names(rows.header, tuple(COLUMNS), (), COLUMNS, self._pairs, self._where)
            yield cells.read(rows, names)[0]

    def items(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_ITEMS``: ids and titles."""
        yield from read_titles(tracked_blocks(self._titles), self._titles.relative_to(self._home).as_posix(), sink)

    def _covers(self, stated: str | None, spec: DatasetSpec) -> Path | None:
        usual = optional_folder(self._home / "covers")
        if stated is not None or usual is not None:
            return usual if stated is None else picture_folder(self._home, stated, stated=True, spec=spec)
        found = sorted(path for path in self._home.glob("*covers*") if path.is_dir())
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(
                f"{self._home}: several folders could be the covers: {names}. Name one in {self._where}: "
                f"`covers: {found[0].name}`."
            )
        return found[0] if found else None

    def _one(self, stated: str | None, usual: tuple[str, ...], option: str, spec: DatasetSpec) -> Path:
        found = fitting(self._home, (stated,) if stated else usual, option, spec, every=False)
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(
                f"{self._home}: several files could be the {option}: {names}. "
                f"Name one in {self._where}: `{option}: {found[0].name}`."
            )
        return found[0]


def read_pairs(blocks: Iterator[LineBlock], label: str, sink: RejectSink) -> Iterator[pa.Table]:
    """Read lines ``user<TAB>item item …`` in order of time: tables of ``READ_REVIEWS``."""
    for block in blocks:
        if block.flaw:
            sink.refuse_block(label, block)
            continue
        users: list[str] = []
        items: list[str] = []
        for number, line in _texts(block):
            sink.see(1)
            user, tab, rest = line.partition("\t")
            own_items = rest.split()
            reason = _pair_flaw(user.strip(), tab, own_items, line)
            if reason:
                sink.refuse(label, number, reason, line)
            else:
                users.extend([user.strip()] * len(own_items))
                items.extend(own_items)
        columns = {c.USER: pa.array(users, pa.string()), c.ITEM: pa.array(items, pa.string())}
        missing = {field.name: pa.nulls(len(users), field.type) for field in READ_REVIEWS if field.name not in columns}
        yield pa.table(columns | missing).select(READ_REVIEWS.names)


def read_titles(blocks: Iterator[LineBlock], label: str, sink: RejectSink) -> Iterator[pa.Table]:
    """Read lines ``item,title``, with or without a header: tables of ``READ_ITEMS``.

    Titles may hold commas without quotes: everything after the first comma is the title.
    """
    for block in blocks:
        if block.flaw:
            sink.refuse_block(label, block)
            continue
        rows = []
        for number, line in _texts(block):
            item, comma, rest = (part.strip() for part in line.partition(","))
            if number == 1 and (item.lower(), rest.lower()) == HEADER:
                continue
            sink.see(1)
            title = _unquoted(rest)
            reason = _title_flaw(item, comma, title, line)
            if reason:
                sink.refuse(label, number, reason, line)
            else:
                known = None if title in {"", NO_TITLE} else title
                rows.append({c.ITEM: item, c.TITLE: known, FILE: label, LINE: number})
        yield pa.Table.from_pylist(rows, READ_ITEMS)


def _texts(block: LineBlock) -> Iterator[tuple[int, str]]:
    """Return number and text of each line that is not empty; foreign bytes as surrogates."""
    for number, line in enumerate(block.lines(), start=block.first):
        if line.strip():
            yield number, line.decode("utf-8", "surrogateescape")


def _pair_flaw(user: str, tab: str, own_items: list[str], line: str) -> str:
    if not tab:
        return "has no tab between user and items"
    if not user:
        return "user_id is empty"
    if not own_items:
        return "names no item"
    return "" if is_utf8(line) else "is not valid UTF-8"


def _title_flaw(item: str, comma: str, title: str | None, line: str) -> str:
    if not comma:
        return "has no comma between item and title"
    if not item:
        return "item_id is empty"
    if title is None:
        return "the title's quotes are not closed"
    return "" if is_utf8(line) else "is not valid UTF-8"


def _unquoted(text: str) -> str | None:
    """Return a title without its quotes; None if they open but do not close around the whole of it."""
    if not text.startswith('"'):
        return text
    try:
        fields = next(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return fields[0].strip() if len(fields) == 1 else None


FORMATS: Final = (SourceFormat("microlens", MicrolensOptions, MicrolensReader),)
