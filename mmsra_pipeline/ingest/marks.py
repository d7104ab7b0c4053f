"""Places from which a reading can go on later as if it had never stopped, and what it had learnt up to there.

Reading is a fold over rows in their order: what it knows at a place, such as that times are seconds, depends on what
came before alone. So whoever finds that unchanged goes on from the place, with what was known there, and ends as a
reading from the beginning does.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from mmsra_pipeline.ingest.learning import NotCarriedError
from mmsra_pipeline.ingest.lines import Start
from mmsra_pipeline.ingest.raw_tables import Reader
from mmsra_pipeline.ingest.rejects import RejectSink

State = Callable[[], Mapping[str, Any]]
logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """A place within a plain file."""

    line: int
    """1-based; a row begins there, and all rows before it were read."""
    block: Start
    """The begin of the block that holds the line: reading goes on there, and passes over what comes before it."""
    seen: int
    """Bytes of the file that had been looked at. While they are the same, so is all that was read before the place."""


@dataclass(frozen=True)
class Mark:
    """How far a reading of reviews had come."""

    label: str
    """What rejects call the file."""
    place: Place | None
    """None: the file was read to its end."""
    reviews: int
    """Reviews given so far."""
    rows: int
    """Rows of the source seen so far."""
    refused: int
    """Those of them that were refused."""
    notes: tuple[str, ...]
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the reader knew there, as JSON."""

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "Mark":
        """Return what ``dataclasses.asdict`` and JSON made of a mark."""
        place = found["place"] and Place(found["place"][0], Start(*found["place"][1]), found["place"][2])
        return cls(**{**found, "place": place, "notes": tuple(found["notes"])})


class Marks:
    """Takes note of the last mark within each file, and of the one at its end."""

    def __init__(self, sink: RejectSink, begin: Mark | None = None) -> None:
        """``begin``: where this reading begins, whose notes and counts go on."""
        self.within: dict[str, Mark] = {}
        self.ends: dict[str, Mark] = {}
        self._sink = sink
        self._reviews = 0
        if begin is not None:
            self._reviews = begin.reviews
            sink.go_on(begin.rows, begin.refused, begin.notes)

    def counted(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Pass tables of reviews on. It runs in the thread of the reader, so that a mark counts what was given before.

        A reader notes a mark after it has given a table and before it looks at the next row.
        """
        for table in tables:
            self._reviews += table.num_rows
            yield table

    def note(self, label: str, place: Place | None, state: State = dict) -> None:
        """Reading can go on from a place; None: there is no such place here, for example in a packed file.

        What ``state`` returns was known there. If it cannot be carried there is no mark, and all is read again.
        """
        if place is not None:
            self._keep(self.within, label, place, state)

    def end(self, label: str, state: State = dict) -> None:
        """The file was read to its end."""
        self._keep(self.ends, label, None, state)

    def _keep(self, marks: dict[str, Mark], label: str, place: Place | None, state: State) -> None:
        sink = self._sink
        if sink.damaged:
            return
        try:
            known = dict(state())
        except NotCarriedError as error:
            logger.error("%s: reading cannot go on here later: %s", label, error)
            return
        marks[label] = Mark(label, place, self._reviews, sink.rows, sink.refused, tuple(sink.notes), known)


class MarkingReader(Reader, Protocol):
    """A reader that can go on from its marks."""

    def review_files(self) -> list[tuple[Path, str]]:
        """Return the files of reviews in the order in which they are read, and what rejects call them."""

    def reviews_from(self, begin: Mark | None, marks: Marks, sink: RejectSink) -> Iterator[pa.Table]:
        """Return what ``reviews`` returns behind a mark, None: from the beginning; and note marks."""

    def goes_on(self, mark: Mark) -> bool:
        """Whether what is detected from the file's begin is as it was; the bytes that were seen are the same."""


def files_behind(files: Sequence[tuple[Path, str]], begin: Mark | None) -> list[tuple[Path, str]]:
    """Return the files that are read from a mark on, the one that it stands within among them."""
    labels = [label for _, label in files]
    first = 0 if begin is None else labels.index(begin.label) + (begin.place is None)
    return list(files[first:])
