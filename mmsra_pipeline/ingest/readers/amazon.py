"""Reader of the Amazon reviews of 2014, 2018 and 2023: JSON lines or CSV, and metadata."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import Patterns, SourceFormat
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.ingest.containers import begin_of
from mmsra_pipeline.ingest.encodings import wide_encoding
from mmsra_pipeline.ingest.foreign_files import foreign
from mmsra_pipeline.ingest.json_forms import Form, form_of, json_blocks
from mmsra_pipeline.ingest.lines import FROM_BEGIN, LineBlock
from mmsra_pipeline.ingest.marks import Mark, Marks, files_behind
from mmsra_pipeline.ingest.readers.amazon_csv import CsvForm, read_csv_reviews
from mmsra_pipeline.ingest.readers.amazon_json import ReviewForm, behind, read_json_reviews
from mmsra_pipeline.ingest.readers.amazon_meta import MetaForm, read_meta
from mmsra_pipeline.ingest.readers.amazon_meta_table import read_meta_table
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import fitting, picture_folder, source_folder

META = ("meta_", "raw_meta_")
META_FILES = ("meta_*", "raw_meta_*", "**/meta_categories/*meta_*", "**/raw_meta_*/*")
logger = logging.getLogger(__name__)


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


FORMS_OF = {name: generation.form for name, generation in GENERATIONS.items()}


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

    def review_files(self) -> list[tuple[Path, str]]:
        """Return the files of reviews and what rejects call them."""
        return [(path, path.relative_to(self._home).as_posix()) for path in self._reviews]

    def reviews(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_REVIEWS`` in the order of the files' names and lines."""
        return self.reviews_from(None, Marks(sink), sink)

    def reviews_from(self, begin: Mark | None, marks: Marks, sink: RejectSink) -> Iterator[pa.Table]:
        """Return what ``reviews`` returns behind a mark. Only lines of JSON have marks within a file."""
        for path, label in files_behind(self.review_files(), begin):
            form = form_of(path)
            if form is Form.TABLE:
                yield from read_csv_reviews(path, label, self._generation.csv, sink, history=self._history)
            else:
                place = begin.place if begin is not None and begin.label == label else None
                blocks = json_blocks(path, label, form, sink, place.block if place else FROM_BEGIN)
                note = partial(_note, marks, label) if form is Form.LINES else _ignore
                yield from read_json_reviews(blocks, label, self._generation.form, sink, FORMS_OF, note)
            marks.end(label)

    def goes_on(self, mark: Mark) -> bool:
        """Whether the file still has one object a line, in UTF-8; that is detected from its first megabyte."""
        if mark.place is None:
            return True
        path = next(path for path, label in self.review_files() if label == mark.label)
        begin = begin_of(path)
        return not (foreign(begin) or wide_encoding(begin)) and form_of(path) is Form.LINES

    def items(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_ITEMS``."""
        for path in self._meta:
            label = path.relative_to(self._home).as_posix()
            form = form_of(path)
            if form is Form.TABLE:
                yield from read_meta_table(path, label, self._generation.meta, sink)
            else:
                yield from read_meta(json_blocks(path, label, form, sink), label, self._generation.meta, sink)


def _note(marks: Marks, label: str, block: LineBlock) -> None:
    marks.note(label, behind(block))  # each line is judged by itself: nothing is known


def _ignore(_: LineBlock) -> None:
    pass


FORMATS: Final = tuple(SourceFormat(name, AmazonOptions, AmazonReader) for name in GENERATIONS)
