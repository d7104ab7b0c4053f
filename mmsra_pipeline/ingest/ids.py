"""Ids and empty cells as people meant them, after spreadsheets and data frames have written them."""

import re
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.row_checks import Flaw

NULL_WORDS = ("NULL", "null", "Null", r"\N", "NaN", "nan", "NAN", "None", "NONE", "none", "NA", "N/A", "n/a", "#N/A",
              "<NA>", "NaT", "nil", "(null)", "undefined")  # fmt: skip
"""What exports write where there is nothing."""
WHOLE = r"^\d+\.0+$"
ROUNDED = r"^-?\d(?:[.,]\d+)?[eE]\+\d{1,3}$"
INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
SURELY = 0.5  # share of rounded ids from which the column is spoilt
SHOWN = 3


def without_null_words(cells: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return cells, null where they only say that there is nothing."""
    found = pc.is_in(cells, value_set=pa.array(list(words), pa.string()))
    return pc.if_else(found, pa.scalar(None, pa.string()), cells) if pc.any(found).as_py() else cells


class IdColumn:
    """Reads one column of ids of a file, chunk by chunk.

    Where all ids of the first chunk are written as '101.0', a data frame with gaps has made floats of them: they are
    read as '101'. Signs that nobody sees go. What a spreadsheet has rounded, '4.32E+18', is no id any more.
    """

    def __init__(self, name: str, label: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._label = label
        self._say = say
        self.floats: bool | None = None
        """Whether ids are written as '101.0'; None until one was read."""

    def read(self, cells: pa.Array, lines: Sequence[int]) -> tuple[pa.Array, Flaw]:
        """Return the ids, and which of them a spreadsheet has rounded.

        Args:
            cells: text, null where empty.
            lines: where each row begins.

        Raises:
            DataError: if most ids were rounded, so that different users or items have become one.
        """
        if pc.any(pc.invert(pc.string_is_ascii(cells))).as_py():
            cells = self._visible(cells)
        if self.floats is None and cells.null_count < len(cells):
            self.floats = bool(pc.all(pc.match_substring_regex(cells, WHOLE)).as_py())
            if self.floats:
                self._say(f"{self._name} such as {_first(cells)!r} are read without '.0'")
        if self.floats:
            cells = pc.if_else(
                pc.match_substring_regex(cells, WHOLE), pc.replace_substring_regex(cells, r"\.0+$", ""), cells
            )
        rounded = pc.fill_null(pc.match_substring(cells, "+"), False)
        if pc.any(rounded).as_py():
            rounded = pc.fill_null(pc.match_substring_regex(cells, ROUNDED), False)
            self._refuse_spoilt(cells, rounded, lines)
        reason = f"{self._name} was rounded by a spreadsheet; export the column as text again"
        return cells, (rounded, reason)

    def _visible(self, cells: pa.Array) -> pa.Array:
        hidden = pc.match_substring_regex(cells, INVISIBLE)
        if not pc.any(hidden).as_py():
            return cells
        shown = ascii(cells.filter(pc.fill_null(hidden, False))[0].as_py())
        self._say(f"{self._name} such as {shown} are read without signs that nobody sees")
        seen = (one and re.sub(INVISIBLE, "", one).strip() for one in cells.to_pylist())
        return pa.array([one or None for one in seen], pa.string())

    def _refuse_spoilt(self, cells: pa.Array, rounded: pa.Array, lines: Sequence[int]) -> None:
        count, present = pc.sum(rounded).as_py() or 0, len(cells) - cells.null_count
        if count <= SURELY * present:
            return
        place = pc.index(rounded, pa.scalar(True)).as_py()
        distinct = len(cells.filter(rounded).unique())
        raise DataError(
            f"{self._label}, line {lines[place]}: {self._name} {cells[place].as_py()!r} was rounded by a spreadsheet, "
            f"as {count} of {present} ids here were. They are {distinct} different texts now; how many users or items "
            "they were cannot be told any more. Export the table again with this column as text."
        )


def _first(cells: pa.Array) -> str:
    return next(str(cell) for cell in cells.to_pylist() if cell is not None)
