"""Rows that are kept out of the pipeline, each with its place and the reason."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

from mmsra_pipeline.ingest.lines import LineBlock

TEXT_CHARS = 300
MOST_NOTES = 100
HELD = 10_000  # rejects in memory at most
REPEATED = "repeats an item that stands in an earlier row"
HEADER_AGAIN = "repeats the header, as where files were joined; nothing is lost"
NOTHING_NEW = (REPEATED, HEADER_AGAIN)
"""The reasons of well-formed rows that say nothing new. They do not count as bad."""
REJECTS = pa.schema({"file": pa.string(), "line": pa.int64(), "reason": pa.string(), "text": pa.string()})


logger = logging.getLogger(__name__)


class Reject(NamedTuple):
    """One row that cannot be used."""

    file: str
    """Path below the data set's folder."""
    line: int
    """1-based line at which the row begins; in Parquet files the 1-based row."""
    reason: str
    text: str
    """The row, cut after ``TEXT_CHARS`` characters."""


class RejectSink:
    """Counts the rows of a source and passes on those that are refused, so that none vanishes.

    Args:
        keep: is given tables of ``REJECTS``.
    """

    def __init__(self, keep: Callable[[pa.Table], None]) -> None:
        self.rows = 0
        """Rows of the source seen so far, refused ones included."""
        self.refused = 0
        self.damaged: list[str] = []
        """Files that could not be read to their end, and why."""
        self.notes: list[str] = []
        """What was not as usual and was detected in the files themselves, each once."""
        self._keep = keep
        self._held: list[Reject] = []

    def see(self, rows: int) -> None:
        """Count rows of the source."""
        self.rows += rows

    def go_on(self, rows: int, refused: int, notes: Iterable[str]) -> None:
        """Begin with what an earlier reading had seen, refused and said up to the place where this one goes on."""
        self.rows, self.refused, self.notes = rows, refused, list(notes)

    def rename(self, notes: Mapping[str, str]) -> None:
        """Put other words in the place of notes."""
        self.notes = [notes.get(note, note) for note in self.notes]

    def note(self, text: str) -> None:
        """Say what was detected in the files themselves, so that none of it is silent."""
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(text)
            logger.warning("%s", text)

    def refuse(self, file: str, line: int, reason: str, text: str | bytes) -> None:
        """Note a row that cannot be used. It must have been counted by ``see``."""
        self._held.append(Reject(file, line, reason, printable(text)))
        self.refused += 1
        if len(self._held) >= HELD:
            self.flush()

    def refuse_block(self, file: str, block: LineBlock) -> None:
        """Count and note one row: a line that is too long, or the place where a file is damaged or cut off."""
        self.see(1)
        self.refuse(file, block.first, block.flaw, block.content)
        if block.damaged:
            self.damaged.append(f"{file}, line {block.first}: {block.flaw}")

    def flush(self) -> None:
        """Pass on what is held."""
        if self._held:
            self._keep(rejects_table(self._held))
        self._held = []


def rejects_table(rejects: Iterable[Reject]) -> pa.Table:
    """Rejects as a table of ``REJECTS``."""
    return pa.Table.from_pylist([reject._asdict() for reject in rejects], REJECTS)


def printable(text: str | bytes) -> str:
    """Return the begin of a row; bytes that are no UTF-8 show as U+FFFD."""
    if isinstance(text, str):
        text = text[:TEXT_CHARS].encode("utf-8", "surrogateescape" if _escaped(text) else "replace")
    return text[: 4 * TEXT_CHARS].decode("utf-8", "replace")[:TEXT_CHARS]


def _escaped(text: str) -> bool:
    """Whether lone surrogates in the text stand for bytes, as they do in lines that were read."""
    return all("\udc80" <= char <= "\udcff" for char in text[:TEXT_CHARS] if "\ud800" <= char <= "\udfff")
