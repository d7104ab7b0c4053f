"""Reader of the Amazon reviews of 2014, 2018 and 2023: JSON lines or CSV, and metadata."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import Patterns, SourceFormat
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.json_forms import Form, form_of, json_blocks
from mmsra_pipeline.ingest.json_lines import Flawed, read_json_lines
from mmsra_pipeline.ingest.lenient_json import lenient_object, lenient_row
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.prefetching import prefetched
from mmsra_pipeline.ingest.raw_tables import LINE, LINE_HASH, READ_REVIEWS, REVIEWS
from mmsra_pipeline.ingest.readers.amazon_csv import CsvForm, read_csv_reviews
from mmsra_pipeline.ingest.readers.amazon_meta import MetaForm, read_meta
from mmsra_pipeline.ingest.readers.amazon_meta_table import read_meta_table
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.row_checks import empty, sound_rows, time_flaws
from mmsra_pipeline.ingest.source_files import fitting, picture_folder, source_folder

META = ("meta_", "raw_meta_")
META_FILES = ("meta_*", "raw_meta_*", "**/meta_categories/*meta_*", "**/raw_meta_*/*")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReviewForm:
    """What a generation calls the fields of a review."""

    user: str
    item: str
    time: str
    rating: str
    texts: tuple[str, str]
    """Headline and text."""
    milliseconds: int
    """In a unit of its times."""

    @property
    def schema(self) -> pa.Schema:
        """What is read of a line."""
        texts = {name: pa.string() for name in (self.user, self.item, *self.texts)}
        return pa.schema({**texts, self.time: pa.float64(), self.rating: pa.float64()})


@dataclass(frozen=True)
class Generation:
    """How the files of one generation are named and written."""

    reviews: tuple[str, ...]
    """Patterns of review files; the first that fits any is taken."""
    form: ReviewForm
    csv: CsvForm
    meta: MetaForm


SECONDS, MILLISECONDS = 1000, 1
OLD = ReviewForm("reviewerID", "asin", "unixReviewTime", "overall", ("summary", "reviewText"), SECONDS)
GENERATIONS = {
    "amazon-2014": Generation(
        ("reviews_*.json*", "ratings_*.csv*"),
        OLD,
        CsvForm(("user", "item", "rating", "timestamp"), SECONDS),
        MetaForm.Y2014,
    ),
    "amazon-2018": Generation(
        ("*_5.json*", "*.json*", "*.csv*"),
        OLD,
        CsvForm(("item", "user", "rating", "timestamp"), SECONDS),
        MetaForm.Y2018,
    ),
    "amazon-2023": Generation(
        ("*.jsonl*", "*.csv*", "*.parquet*", "**/review_categories/*", "**/raw_review_*/*"),
        ReviewForm("user_id", "parent_asin", "timestamp", "rating", ("title", "text"), MILLISECONDS),
        CsvForm(None, MILLISECONDS),
        MetaForm.Y2023,
    ),
}


class AmazonOptions(Section):
    """Options of the Amazon formats. File names are patterns below ``path``; each may fit several files."""

    reviews: Patterns = ()
    """Not set: what the generation usually calls them."""
    meta: Patterns = ()
    """Not set: ``meta_*`` and ``raw_meta_*``, if there are any."""
    images: str = "images"
    """Folder of pictures called ITEM_ID.jpg; where one is there, it goes before the URL of the metadata."""
    history: bool = False
    """Read the column ``history`` of benchmark files too."""


class AmazonReader:
    """Reads a data set of ``format: amazon-2014``, ``amazon-2018`` or ``amazon-2023``; see ``raw.Reader``.

    Raises:
        MissingInputError: if the folder or the review files are not there.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        options = AmazonOptions.model_validate(spec.options)
        self._generation = GENERATIONS[spec.format]
        self._history = options.history
        self._home = source_folder(spec)
        patterns = options.reviews or self._generation.reviews
        self._reviews = fitting(self._home, patterns, "reviews", spec, without=META, every=bool(options.reviews))
        self._meta = fitting(self._home, options.meta or META_FILES, "meta", spec, needed=bool(options.meta))
        if not self._meta:
            logger.warning("%s: no metadata in %s; items have neither text nor picture", spec.name, self._home)
        self.image_root = picture_folder(self._home, options.images, stated="images" in spec.options, spec=spec)

    def files(self) -> list[Path]:
        """All source files but the pictures."""
        return [*self._reviews, *self._meta]

    def reviews(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_REVIEWS`` in the order of the files' names and lines."""
        for path in self._reviews:
            label = path.relative_to(self._home).as_posix()
            form = form_of(path)
            if form is Form.TABLE:
                yield from read_csv_reviews(path, label, self._generation.csv, sink, history=self._history)
            else:
                yield from read_json_reviews(json_blocks(path, label, form, sink), label, self._generation.form, sink)

    def items(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_ITEMS``."""
        for path in self._meta:
            label = path.relative_to(self._home).as_posix()
            form = form_of(path)
            if form is Form.TABLE:
                yield from read_meta_table(path, label, self._generation.meta, sink)
            else:
                yield from read_meta(json_blocks(path, label, form, sink), label, self._generation.meta, sink)


def read_json_reviews(
    blocks: Iterator[LineBlock], label: str, form: ReviewForm, sink: RejectSink
) -> Iterator[pa.Table]:
    """Return tables of ``READ_REVIEWS``; a line that cannot be used goes to the sink."""
    for block in prefetched(_with_checksums(blocks)):
        if block.flaw:
            sink.refuse_block(label, block)
            continue
        if block.first == 1:
            _check_year(block.content.split(b"\n", 1)[0], label, form)
        for found in read_json_lines(block, form.schema):
            table = _lenient(found, form) if isinstance(found, Flawed) else found
            if isinstance(table, str):
                sink.see(1)
                sink.refuse(label, found.line, table, found.text)
            else:
                yield _reviews(table, block, label, form, sink)


def _check_year(line: bytes, label: str, form: ReviewForm) -> None:
    """Refuse reviews of another generation, of which no row could be used."""
    found = lenient_object(line)
    if not isinstance(found, dict) or form.user in found:
        return
    for name, other in reversed(GENERATIONS.items()):
        if {other.form.user, other.form.item} <= found.keys():
            raise DataError(
                f"{label}, line 1: has {other.form.user} and {other.form.item}, as reviews of another year, and no "
                f"{form.user}. Write `format: {name}` in the data set's YAML."
            )


def _lenient(flawed: Flawed, form: ReviewForm) -> pa.Table | str:
    """Return the row of a line that Arrow refuses, where only what is beside the fields, or their kind, is odd."""
    row = lenient_row(flawed.text, form.schema, (form.user, form.item), (form.time,))
    if isinstance(row, str):
        return row if " is the number " in row or "no number" in row else flawed.reason
    return pa.Table.from_pylist([row | {LINE: flawed.line}], form.schema.append(pa.field(LINE, pa.int64())))


def _with_checksums(blocks: Iterator[LineBlock]) -> Iterator[LineBlock]:
    """Compute them in the thread that decompresses: it has less to do than the one that parses."""
    for block in blocks:
        if not block.flaw:
            _ = block.checksums
        yield block


def _reviews(found: pa.Table, block: LineBlock, label: str, form: ReviewForm, sink: RejectSink) -> pa.Table:
    table = pa.table(
        {
            c.USER: pc.utf8_trim_whitespace(found.column(form.user)),
            c.ITEM: pc.utf8_trim_whitespace(found.column(form.item)),
            c.TIME: pc.multiply(found.column(form.time), float(form.milliseconds)),
            c.RATING: _finite(found.column(form.rating)),
            c.REVIEW: _joined(*(pc.fill_null(found.column(name), "") for name in form.texts)),
            LINE: found.column(LINE),
            LINE_HASH: _line_hashes(found, block),
        }
    )
    flaws = [empty(table, c.USER), empty(table, c.ITEM), *time_flaws(table.column(c.TIME))]

    def text_of(row: int) -> bytes:
        return block.line(table.column(LINE)[row].as_py())

    sound = sound_rows(table, flaws, label, text_of, sink)
    review = _null_if_empty(sound.column(c.REVIEW))
    return (
        sound.set_column(sound.schema.get_field_index(c.REVIEW), c.REVIEW, review)
        .select([*READ_REVIEWS.names, LINE_HASH])
        .cast(READ_REVIEWS.append(REVIEWS.field(LINE_HASH)))
    )


def _line_hashes(found: pa.Table, block: LineBlock) -> pa.Array:
    """Checksums of the lines of some rows that lie one behind the other. Beside the columns they tell lines apart."""
    if not found.num_rows:
        return pa.array([], pa.int64())
    begin = found.column(LINE)[0].as_py() - block.first
    return pa.array(block.checksums[begin : begin + found.num_rows])


def _joined(headline: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Join those that are not empty. Arrow's own way to skip nulls drops the rows in which all are null."""
    both = pc.binary_join_element_wise(headline, text, "\n")
    for one, other in ((text, headline), (headline, text)):
        blank = pc.equal(one, "")
        if pc.any(blank).as_py():  # seldom, and choosing costs more than joining
            both = pc.if_else(blank, other, both)
    return both


def _finite(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers, null where Python wrote NaN or Infinity: a review is none the less one."""
    finite = pc.is_finite(numbers)
    return numbers if pc.all(finite).as_py() is not False else pc.if_else(finite, numbers, None)


def _null_if_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    blank = pc.equal(texts, "")
    return pc.if_else(blank, None, texts) if pc.any(blank).as_py() else texts


FORMATS: Final = tuple(SourceFormat(name, AmazonOptions, AmazonReader) for name in GENERATIONS)
