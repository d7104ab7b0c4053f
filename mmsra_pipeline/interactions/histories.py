"""Histories as slices of what users took: a query names a stretch of its user's interactions, and no row repeats them.

``interactions`` are sorted by user and position, and a position is a place from 0. So of a user with row number s of
the first interaction, the history of a query is the rows from s + ``history_start`` to s + ``position``, the target is
the row behind them.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from jaxtyping import Int

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SPLIT, START, TARGET, TIME, USER
from mmsra_pipeline.errors import DataError

QUERY_COLUMNS: Final = [USER, SPLIT, POSITION, HISTORY, TARGET, TIME]
"""Of queries as they are shown to a model: with their histories written out."""
COLUMNS: Final = [USER, ITEM]
FEW: Final = 10_000  # users that are looked for by name while a file is read; of more all rows are read


class Histories:
    """What each user took, oldest first, as codes of items; 4 bytes an interaction."""

    def __init__(self, users: Sequence[str], items: Sequence[str], codes: np.ndarray, sizes: np.ndarray) -> None:
        """See ``of`` and ``read``.

        Args:
            users: distinct.
            items: distinct; a code is a place here.
            codes: of all interactions, users one behind the other.
            sizes: interactions of each user.
        """
        self.items = list(items)
        self.codes = codes
        self._users = pd.Index(users)
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._names = np.array(self.items, dtype=object)

    @classmethod
    def of(cls, interactions: pd.DataFrame) -> "Histories":
        """Return the histories of rows of ``interactions``, in any order; positions run from 0."""
        ordered = interactions.sort_values([USER, POSITION], kind="stable")
        user, users = pd.factorize(ordered[USER].astype("str"), sort=True)
        item, items = pd.factorize(ordered[ITEM].astype("str"), sort=True)
        return cls(users.tolist(), items.tolist(), item.astype(np.int32), np.bincount(user, minlength=len(users)))

    @classmethod
    def read(cls, interactions: Path, users: Collection[str] | None = None) -> "Histories":
        """Read the slice of ``interactions``, which is sorted by user and position.

        Args:
            interactions: its Parquet file.
            users: whose histories will be asked for. None: those of all.
        """
        source = ds.dataset(interactions, format=ds.ParquetFileFormat(dictionary_columns=COLUMNS))
        wanted = None
        if users is not None and len(users) <= FEW:
            wanted = ds.field(USER).isin(pa.array(sorted(users), pa.string()))
        table = source.to_table(COLUMNS, filter=wanted).unify_dictionaries().combine_chunks()
        user, item = (_one(table.column(name)) for name in COLUMNS)
        of_user = user.indices.to_numpy()
        first = np.flatnonzero(np.diff(of_user, prepend=-1))
        names = user.dictionary.take(pa.array(of_user[first])).to_pylist()
        sizes = np.diff(np.append(first, len(of_user)))
        if len(set(names)) != len(names):
            raise DataError(f"{interactions} is not sorted by user. Materialize 'interactions' again.")
        ids, codes = item.dictionary.to_pylist(), item.indices.to_numpy()
        order = np.argsort(np.array(ids, dtype=object), kind="stable")
        place = np.empty(len(ids), dtype=np.int32)
        place[order] = np.arange(len(ids), dtype=np.int32)
        return cls(names, [ids[at] for at in order], place[codes], sizes)

    def bounds(self, queries: pd.DataFrame) -> tuple[Int[np.ndarray, " queries"], Int[np.ndarray, " queries"]]:
        """Return where in ``codes`` the history of each row of ``sequences`` begins, and where it ends.

        Raises:
            DataError: if a user did not take that many items, or is not there: the tables are of different runs.
        """
        user = self._users.get_indexer(pd.Index(queries[USER]))
        position, start = queries[POSITION].to_numpy(np.int64), queries[START].to_numpy(np.int64)
        first = self._starts[np.maximum(user, 0)]
        wrong = (user < 0) | (first + position > self._starts[np.maximum(user, 0) + 1])
        if wrong.any():
            row = queries.iloc[int(np.flatnonzero(wrong)[0])]
            raise DataError(
                f"{int(wrong.sum())} of {len(queries)} queries ask for more interactions than their users have (first: "
                f"{USER}={row[USER]!r}, {POSITION}={row[POSITION]}): `sequences` and `interactions` are of different "
                "runs. Materialize 'sequences' again."
            )
        return first + start, first + position

    def flat(self, queries: pd.DataFrame) -> tuple[Int[np.ndarray, " total"], Int[np.ndarray, " queries"]]:
        """Return the codes of all histories, one behind the other, and the length of each."""
        begins, ends = self.bounds(queries)
        sizes = ends - begins
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - begins, sizes)
        return self.codes[place], sizes

    def lists(self, queries: pd.DataFrame) -> list[np.ndarray]:
        """Return the item ids of each history."""
        codes, sizes = self.flat(queries)
        return np.split(self._names[codes], np.cumsum(sizes)[:-1]) if len(sizes) else []

    def joined_to(self, queries: pd.DataFrame) -> pd.DataFrame:
        """Return rows of ``sequences`` with their histories written out, under ``QUERY_COLUMNS``."""
        histories = np.empty(len(queries), dtype=object)
        histories[:] = self.lists(queries)
        return queries.assign(**{HISTORY: histories})[QUERY_COLUMNS]

    def before(self, user: str, position: int) -> list[str]:
        """Return all that a user took before a position, however long ago; nothing of one who is not there."""
        place = int(self._users.get_indexer(pd.Index([user]))[0])
        if place < 0:
            return []
        first = self._starts[place]
        return list(self._names[self.codes[first : min(first + position, self._starts[place + 1])]])

    def all_before(self, queries: pd.DataFrame) -> tuple[Int[np.ndarray, " total"], Int[np.ndarray, " queries"]]:
        """Return the same for many queries, as codes one behind the other, and how many each has."""
        place = self._users.get_indexer(pd.Index(queries[USER]))
        first, last = self._starts[np.maximum(place, 0)], self._starts[np.maximum(place, 0) + 1]
        sizes = np.minimum(queries[POSITION].to_numpy(np.int64), last - first) * (place >= 0)
        own = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - first, sizes)
        return self.codes[own], sizes

    def of_users(self, users: Collection[str]) -> Iterator[tuple[str, frozenset[str]]]:
        """Return each of the users with all items that it ever took."""
        places = self._users.get_indexer(pd.Index(list(users)))
        for user, place in zip(users, places.tolist(), strict=True):
            if place >= 0:
                yield user, frozenset(self._names[self.codes[self._starts[place] : self._starts[place + 1]]])


def history_lengths(queries: pd.DataFrame) -> Int[np.ndarray, " queries"]:
    """Return how many items each history has, written out or not."""
    if HISTORY in queries:
        return np.array([len(history) for history in queries[HISTORY]], dtype=np.int64)
    lengths: np.ndarray = queries[POSITION].to_numpy(np.int64) - queries[START].to_numpy(np.int64)
    return lengths


def _one(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
