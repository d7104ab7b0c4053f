"""What a reader made of some bytes, for the tests of the readers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.rejects import RejectSink


class ReadTables(NamedTuple):
    """Rows that were kept and refused, as dicts, and how many were seen."""

    kept: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    rows: int

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.kept]

    def reasons(self) -> dict[int, str]:
        return {reject["line"]: reject["reason"] for reject in self.rejects}


def read_tables(read: Callable[[RejectSink], Iterable[pa.Table]]) -> ReadTables:
    """Run a reader to its end."""
    rejects: list[dict[str, Any]] = []
    sink = RejectSink(lambda table: rejects.extend(table.to_pylist()))
    kept = [row for table in read(sink) for row in table.to_pylist()]
    sink.flush()
    assert sink.refused == len(rejects)
    return ReadTables(kept, rejects, sink.rows)


def blocks(content: bytes, *cuts: int) -> Iterator[LineBlock]:
    """Give bytes as blocks of lines, cut before the given 1-based lines."""
    lines = content.split(b"\n")
    ends = [*sorted({cut - 1 for cut in cuts if 0 < cut - 1 < len(lines)}), len(lines)]
    start = 0
    for end in ends:
        piece = b"\n".join(lines[start:end]) + (b"\n" if end < len(lines) else b"")
        if piece:
            yield LineBlock(piece, start + 1)
        start = end
