"""Amazon's reviews as JSON lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline import columns as c
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.json_lines import Flawed, read_json_lines
from mmsra_pipeline.ingest.lenient_json import lenient_object, lenient_row
from mmsra_pipeline.ingest.lines import LineBlock, Start
from mmsra_pipeline.ingest.marks import Place
from mmsra_pipeline.ingest.prefetching import prefetched
from mmsra_pipeline.ingest.raw_tables import LINE, LINE_HASH, READ_REVIEWS, REVIEWS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.row_checks import empty, sound_rows, time_flaws


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


def read_json_reviews(
    blocks: Iterator[LineBlock],
    label: str,
    form: ReviewForm,
    sink: RejectSink,
    forms: dict[str, ReviewForm],
    passed: Callable[[LineBlock], None] = lambda _: None,
) -> Iterator[pa.Table]:
    """Return tables of ``READ_REVIEWS``; a line that cannot be used goes to the sink.

    Args:
        blocks: of the file.
        label: what rejects call it.
        form: of its reviews.
        sink: counts every line and gets the refused ones.
        forms: of all generations, by what the YAML calls them, the oldest first.
        passed: is given each block when its lines have been given.

    Raises:
        DataError: if the first line is a review of another generation.
    """
    for block in prefetched(_with_checksums(blocks)):
        if block.flaw:
            sink.refuse_block(label, block)
            continue
        if block.first == 1:
            _check_year(block.content.split(b"\n", 1)[0], label, form, forms)
        for found in read_json_lines(block, form.schema):
            table = _lenient(found, form) if isinstance(found, Flawed) else found
            if isinstance(table, str):
                sink.see(1)
                sink.refuse(label, found.line, table, found.text)
            else:
                yield _reviews(table, block, label, form, sink)
        passed(block)


def _check_year(line: bytes, label: str, form: ReviewForm, forms: dict[str, ReviewForm]) -> None:
    """Refuse reviews of another generation, of which no row could be used."""
    found = lenient_object(line)
    if not isinstance(found, dict) or form.user in found:
        return
    for name, other in reversed(forms.items()):
        if {other.user, other.item} <= found.keys():
            raise DataError(
                f"{label}, line 1: has {other.user} and {other.item}, as reviews of another year, and no "
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


def behind(block: LineBlock) -> Place | None:
    """Return the place behind a block of lines, each of which is judged by itself; None if reading cannot go on there.

    It cannot behind the last line of a file that has no end: it may be half a line.
    """
    if block.begin is None or block.flaw or not block.content.endswith(b"\n"):
        return None
    start = Start(block.first + len(block.ends), block.begin + len(block.content))
    return Place(start.line, start, start.byte)
