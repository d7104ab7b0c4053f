"""Ids and empty cells as people meant them, after spreadsheets and data frames have written them."""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.learning import Learner
from mmsra_pipeline.ingest.row_checks import Flaw

NULL_WORDS = ("NULL", "null", "Null", r"\N", "NaN", "nan", "NAN", "None", "NONE", "none", "NA", "N/A", "n/a", "#N/A",
              "<NA>", "NaT", "nil", "(null)", "undefined", "[null]", "<null>", "(none)", "[none]", "<none>", "n.a.",
              "#NA", "#NULL!", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", r"\\N", "-", "--", "?",
              ".")  # fmt: skip
"""What exports write where there is nothing; case does not count."""
NOBODY = (
    "anonymous",
    "anon",
    "unknown",
    "guest",
    "deleted",
    "[deleted]",
    "deleted user",
    "-1",
    "test",
    "anonym",
    "gast",
)
"""Ids that may stand for many people."""
WHOLE = r"^\d+\.0+$"
DIGITS = r"^\d+(\.0+)?$"
GROUPED = r"^\d{1,3}(,\d{3})*$"
GUARDED = r"^(?:'[^']+|=\"[^\"]*\")$"  # '007 and ="007": how people keep a spreadsheet from taking zeros
ROUNDED = r"^-?\d(?:[.,]\d+)?[eE]\+\d{1,3}$|^-?\d[.,]\d+[eE]\d{1,3}$"  # not 1e5, which a hash may be
CUT = r"^\d{15}0{2,}$"  # a spreadsheet keeps 15 digits
LEAST_CUT = 5  # distinct ids
INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
SURELY = 0.5  # share of rounded ids from which the column is spoilt


def without_null_words(cells: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return cells, null where they only say that there is nothing."""
    longest = max((len(word.encode()) for word in words), default=0)
    short = pc.less_equal(pc.binary_length(cells), longest)
    if not pc.any(short).as_py():
        return cells
    lower = pc.utf8_lower(pc.if_else(short, cells, pa.scalar(None, pa.string())))
    found = pc.is_in(lower, value_set=pa.array([word.lower() for word in words], pa.string()))
    return pc.if_else(found, pa.scalar(None, pa.string()), cells) if pc.any(found).as_py() else cells


class IdColumn(Learner):
    """Reads one column of ids of a file, chunk by chunk.

    Where all ids of the first chunk are written as '101.0', a data frame with gaps has made floats of them: they are
    read as '101'; so are '1,001' as '1001' and "'007" as '007'. Signs that nobody sees go. What a spreadsheet has
    rounded, '4.32E+18', is no id any more.
    """

    OUTER: ClassVar = frozenset({"_say"})

    def __init__(self, name: str, label: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._label = label
        self._say = say
        self._floats: bool | None = None
        self._digits = False
        self._replaced: tuple[str, str, str] | None = None
        """Of how all ids of the first chunk are written: its pattern, and what goes, and a word for it."""

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
        if self._floats is None and cells.null_count < len(cells):
            self._tell(cells)
        if self._replaced is not None:
            pattern, gone, _ = self._replaced
            cells = pc.if_else(
                pc.match_substring_regex(cells, pattern), pc.replace_substring_regex(cells, gone, ""), cells
            )
        rounded = pc.fill_null(pc.match_substring(cells, "+"), False)
        numeric = self._digits and pc.any(pc.match_substring(cells, "e", ignore_case=True)).as_py()
        if numeric or pc.any(rounded).as_py():
            rounded = pc.fill_null(pc.match_substring_regex(cells, ROUNDED), False)
            self._refuse_spoilt(cells, rounded, lines)
        reason = f"{self._name} was rounded by a spreadsheet; export the column as text again"
        return cells, (rounded, reason)

    def _tell(self, cells: pa.Array) -> None:
        """Find out how the ids are written."""
        first = str(_first(cells))
        self._floats = False
        self._digits = first[:1].isdigit() or first.startswith("-")
        if first[:1] not in "'=" and not self._digits:
            return
        ways = (
            (WHOLE if pc.all(pc.match_substring_regex(cells, WHOLE)).as_py() else DIGITS, r"\.0+$", "'.0'", ".0"),
            (GROUPED, ",", "separators of thousands", ","),
            (GUARDED, r"^'|^=\"|\"$", "the signs that keep zeros in a spreadsheet", ""),
        )
        for pattern, gone, word, sign in ways:
            if not pc.all(pc.match_substring_regex(cells, pattern)).as_py():
                continue
            examples = cells.filter(pc.fill_null(pc.match_substring(cells, sign), False)) if sign else cells
            if len(examples):
                self._replaced = (WHOLE if gone.endswith("0+$") else pattern, gone, word)
                self._say(f"{self._name} such as {_first(examples)!r} are read without {word}")
            break
        cut = cells.filter(pc.fill_null(pc.match_substring_regex(cells, CUT), False)).unique()
        long = pc.sum(pc.fill_null(pc.greater_equal(pc.binary_length(cells.unique()), 17), False)).as_py() or 0
        if LEAST_CUT <= len(cut) == long:
            self._say(
                f"{self._name} such as {cut[0].as_py()!r} all end in zeros behind the 15th digit, as spreadsheets cut "
                "them: different ones may have become one. Export the column as text again"
            )

    def note_nobody(self, cells: pa.Array) -> None:
        """Say if an id seems to stand for many people."""
        short = cells.unique()
        found = short.filter(pc.fill_null(pc.is_in(pc.utf8_lower(short), value_set=pa.array(NOBODY)), False))
        for one in found.to_pylist():
            self._say(f"{self._name} {one!r} is read as one user; if it stands for nobody, add it to `null_words:`")

    def _visible(self, cells: pa.Array) -> pa.Array:
        composed = pc.utf8_normalize(cells, "NFC")
        changed = pc.fill_null(pc.not_equal(composed, cells), False)
        if pc.any(changed).as_py():
            example = ascii(cells.filter(changed)[0].as_py())
            self._say(f"{self._name} such as {example} are read with letters and accents as one (NFC)")
            cells = composed
        hidden = pc.match_substring_regex(cells, INVISIBLE)
        if not pc.any(hidden).as_py():
            return cells
        example = ascii(cells.filter(pc.fill_null(hidden, False))[0].as_py())
        self._say(f"{self._name} such as {example} are read without signs that nobody sees")
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
            "they were cannot be known any more. Export the table again with this column as text."
        )


def _first(cells: pa.Array) -> str:
    return next(str(cell) for cell in cells.to_pylist() if cell is not None)
