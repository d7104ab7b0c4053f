"""Candidate lists from elsewhere, say of another paper: checked against what came next, and kept by their hash."""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from mmsra_pipeline.columns import ITEM, POSITION, TARGET, USER
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.files import clean_name, write_atomically
from mmsra_pipeline.storage.hashing import content_hash

KIND: Final = "lists"
COLUMNS: Final = [USER, POSITION, ITEM, IS_TARGET]
LEAST: Final = 2
"""Candidates of a list: the target and one other."""
ROW: Final = "row"
YES: Final = ("1", "1.0", "true", "yes")
NO: Final = ("0", "0.0", "false", "no", "")
logger = logging.getLogger(__name__)


class Refused(NamedTuple):
    """Lists of a file that cannot be ranked."""

    why: str
    lists: int
    example: str


def read_lists(file: Path, protocol: str | None = None) -> pd.DataFrame:
    """Read a list file as text: CSV or Parquet, a row a candidate.

    Args:
        file: as others have it, or as `mmsra lists export` writes it.
        protocol: which lists, of a file that has several in a column ``protocol``.

    Returns:
        ``user_id``, ``item_id``, ``row`` (from 1, the header of CSV counted), ``position`` and ``is_target`` where the
        file has them.

    Raises:
        DataError: if it cannot be read, has no user_id or item_id, or several protocols of which none was chosen.
    """
    try:
        with file.open("rb") as opened:
            parquet = opened.read(4) == b"PAR1"
        table = pd.read_parquet(file) if parquet else pd.read_csv(file, dtype="str", keep_default_na=False)
    except (OSError, ValueError, UnicodeError) as error:
        raise DataError(f"{file} cannot be read as CSV or Parquet: {error}") from None
    missing = {USER, ITEM} - set(table.columns)
    if missing:
        raise DataError(
            f"{file} has the columns {', '.join(map(str, table.columns))}, and no {' and no '.join(sorted(missing))}. "
            "A list file has a row a candidate: user_id, item_id, and, if you like, position and is_target."
        )
    kept = [name for name in COLUMNS if name in table.columns]
    rows = table[kept].astype("str")
    rows.insert(0, ROW, range(1 if parquet else 2, len(rows) + (1 if parquet else 2)))
    there = table[PROTOCOL].astype("str").unique().tolist() if PROTOCOL in table else []
    if protocol not in there and (protocol is not None or len(there) > 1):
        raise DataError(
            f"{file} has lists of the protocols {', '.join(there) or '(no column protocol)'}"
            + (f", and none of {protocol!r}." if protocol else ".")
            + " Choose which with --protocol, or leave it out where there is one."
        )
    return rows if protocol is None else rows[table[PROTOCOL].astype("str").eq(protocol).to_numpy()]


def check_lists(
    rows: pd.DataFrame, queries: pd.DataFrame, catalogue: set[str], name: str
) -> tuple[pd.DataFrame, list[Refused]]:
    """Return the lists that can be ranked, and what was refused of the others.

    A list is refused as a whole: one without a candidate is another list. Without ``is_target`` the target is what
    came next, which must be among the candidates.

    Args:
        rows: of ``read_lists``.
        queries: test rows of ``sequences``: ``user_id``, ``position``, ``target``.
        catalogue: ids of the items that are known.
        name: of the file, for messages.

    Returns:
        Columns ``COLUMNS``, in the order of the file.

    Raises:
        DataError: if nothing is left, or if lists name other targets than what came next: they are of another split.
    """
    rows = rows.assign(**{POSITION: _positions(rows, queries)})
    keys = [USER, POSITION]
    known = queries[[*keys, TARGET]].astype({USER: "str", POSITION: "int64", TARGET: "str"})
    merged = rows.merge(known, on=keys, how="left")
    merged[IS_TARGET] = _targets(merged, name)
    lists = merged.groupby([USER, POSITION], sort=False, dropna=False)
    size, marked = lists[ITEM].transform("size"), lists[IS_TARGET].transform("sum")
    faults = {
        "the user is not among those of test": merged[TARGET].isna(),
        "an item is not in the catalogue": _any(lists.ngroup(), ~merged[ITEM].isin(catalogue)),
        "an item stands twice in the list": lists[ITEM].transform("nunique") < size,
        "what came next is not among the candidates": marked == 0,
        "more than one candidate is the target": marked > 1,
        f"there are fewer than {LEAST} candidates": size < LEAST,
    }
    bad, refused = pd.Series(False, index=merged.index), []
    for why, fault in faults.items():
        new = merged[fault & ~bad]
        if len(new):
            first = new.iloc[0]
            count = len(new[[USER, POSITION]].drop_duplicates())
            refused.append(Refused(why, count, f"{name}, row {first[ROW]}: user {first[USER]!r}, item {first[ITEM]!r}"))
        bad |= fault
    kept = merged[~bad]
    wrong = kept[kept[IS_TARGET] & (kept[ITEM] != kept[TARGET])]
    if len(wrong):
        first = wrong.iloc[0]
        raise DataError(
            f"{name}, row {first[ROW]}: the target of user {first[USER]!r} is {first[ITEM]!r} there, and "
            f"{first[TARGET]!r} came next here; so of {len(wrong)} lists. They are of another split, or of other data: "
            "set `interactions.split`, cores and bounds as that paper has them, refresh, and import again."
        )
    if kept.empty:
        raise DataError(
            f"{name} has no list that can be ranked. " + " ".join(f"{one.why}: {one.example}." for one in refused)
        )
    return kept[COLUMNS].astype({POSITION: "int64", IS_TARGET: "bool"}).reset_index(drop=True), refused


def keep_lists(artifacts: Artifacts, dataset: str, lists: pd.DataFrame) -> str:
    """Store checked lists of a data set, and give the hash that ``evaluation.lists`` names them by."""
    content = io.BytesIO()
    lists.to_parquet(content, index=False)
    name = content_hash(content.getvalue())
    path = artifacts.root / KIND / clean_name(dataset) / f"{name}.parquet"
    write_atomically(path, content.getvalue())
    artifacts.remote.push(path)
    return name


def given_lists(artifacts: Artifacts, wanted: Mapping[str, str], queries: pd.DataFrame) -> pd.DataFrame:
    """Return the lists that settings name, each under its name as protocol, of these queries alone.

    A variant finds those of the data set it was made of: they are found by their hash.

    Raises:
        MissingInputError: if they are not stored.
    """
    asked = queries[[USER, POSITION, TARGET]].astype({USER: "str", POSITION: "int64", TARGET: "str"})
    found = []
    for protocol, name in wanted.items():
        places = artifacts.remote.find(artifacts.root / KIND, f"*/{name}.parquet")
        if not places or not artifacts.remote.fetch(places[0].path):
            raise MissingInputError(
                f"the candidate lists {protocol!r} of `evaluation.lists` are not stored. Import them again with `mmsra "
                "lists import`, or take the name out of the settings."
            )
        lists = pd.read_parquet(places[0].path).astype({USER: "str", ITEM: "str"})
        own = lists.merge(asked, on=[USER, POSITION])
        stale = own[own[IS_TARGET] & (own[ITEM] != own[TARGET])]
        if len(stale):
            raise DataError(
                f"of the candidate lists {protocol!r}, {len(stale)} have another target than what comes next now, "
                f"first that of user {stale[USER].iloc[0]!r}. The data have changed since: import the lists again."
            )
        counted = lists[[USER, POSITION]].drop_duplicates()
        logger.info("lists %s: %d of %d are of users that are scored (`evaluation.users`)", protocol,
                    len(own[[USER, POSITION]].drop_duplicates()), len(counted))  # fmt: skip
        found.append(own[COLUMNS].assign(**{PROTOCOL: protocol}))
    return pd.concat(found, ignore_index=True)[[PROTOCOL, *COLUMNS]]


def _positions(rows: pd.DataFrame, queries: pd.DataFrame) -> pd.Series:
    """Return positions as the file has them, else that of the last test query of each user; -1 where there is none."""
    if POSITION in rows:
        numbers = pd.to_numeric(rows[POSITION], errors="coerce")
        wrong = rows[numbers.isna()]
        if len(wrong):
            first = wrong.iloc[0]
            raise DataError(
                f"row {first[ROW]}: the position {first[POSITION]!r} is no number. Take the column out, or fix it."
            )
        return numbers.astype("int64")
    last = queries.groupby(queries[USER].astype("str"))[POSITION].max()
    return rows[USER].map(last).fillna(-1).astype("int64")


def _targets(rows: pd.DataFrame, name: str) -> pd.Series:
    if IS_TARGET not in rows:
        return rows[ITEM] == rows[TARGET]
    said = rows[IS_TARGET].str.strip().str.lower()
    wrong = rows[~said.isin([*YES, *NO])]
    if len(wrong):
        first = wrong.iloc[0]
        raise DataError(f"{name}, row {first[ROW]}: is_target is {first[IS_TARGET]!r}. Write 1 for the target, else 0.")
    return said.isin(YES)


def _any(number: pd.Series, fault: pd.Series) -> pd.Series:
    """Whether a fault is in any row of a row's list, lists by number."""
    return fault.groupby(number, sort=False).transform("any")
