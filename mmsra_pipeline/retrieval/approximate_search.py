"""Cosine search among more entries than can be compared with each query: FAISS, with the rule of time kept exact.

Entries lie in cells around centres (IVF), a byte a number; a query looks into the cells next to it. What is found is
never younger than the query may see and never of its own user. What is lost is that some near entries are missed, and
that a cosine is off by some thousandths; ``recall`` says how much is found of what a look into all cells finds.
"""

from typing import Final

import faiss
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.retrieval.as_of_search import Matches, Queries

PER_CELL: Final = 1500  # entries, about
TRAINED_ON: Final = 64  # entries a cell, to find its centre
PROBES: Final = 12  # cells that a query looks into
TOGETHER: Final = 2048  # queries of about the same time that look at once
PROPOSALS: Final = 8  # entries that are asked for, times users wanted: a user may own several of the nearest
JUDGED: Final = 64  # queries that look into all cells, to say how good the others are


class ApproximateEntries:
    """Entries that are found by place in time: ``add`` takes them in any order."""

    def __init__(self, sample: Float[np.ndarray, "sample dim"], entries: int, users: Int[np.ndarray, " entries"]):
        """Find the cells.

        Args:
            sample: vectors of length 1, some thousands.
            entries: how many there will be.
            users: whose entry each is, oldest first.
        """
        self._users = users
        cells = int(np.clip(entries // PER_CELL, 1, max(len(sample) // TRAINED_ON, 1)))
        dim = sample.shape[1]
        self._quantizer = faiss.IndexFlatIP(dim)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._quantizer, dim, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        self._index.cp.seed = 1
        self._index.train(np.ascontiguousarray(sample, dtype=np.float32))
        self._cells = cells

    def add(self, vectors: Float[np.ndarray, "part dim"], places: Int[np.ndarray, " part"]) -> None:
        """Take entries at places in time, from 0; zero vectors are nobody's neighbour and left out."""
        usable = vectors.any(axis=1)
        unit = np.ascontiguousarray(vectors[usable], dtype=np.float32)
        faiss.normalize_L2(unit)
        self._index.add_with_ids(unit, np.ascontiguousarray(places[usable], dtype=np.int64))

    def nearest_users(self, queries: Queries, k: int) -> Matches:
        """Return what ``as_of_search.nearest_users`` returns, as far as it is found."""
        asking = np.flatnonzero(queries.vectors.any(axis=1))
        asking = asking[np.argsort(queries.visible[asking], kind="stable")]
        parts = [asking[start : start + TOGETHER] for start in range(0, len(asking), TOGETHER)]
        found = [self._search(queries, rows, k, PROBES) for rows in parts]
        table = pd.concat(found) if found else self._search(queries, asking, k, PROBES)
        table = table.sort_values(["query", "rank"], kind="stable")
        return Matches(*(table[name].to_numpy() for name in ("query", "entry", "cosine", "rank")))

    def recall(self, queries: Queries, k: int) -> float:
        """Return the share, in [0, 1], of the users that a look into all cells finds which are found as always."""
        known = np.flatnonzero(queries.vectors.any(axis=1))
        rows = known[np.unique(np.linspace(0, max(len(known) - 1, 0), min(JUDGED, len(known))).astype(int))]
        found = self._search(queries, rows, k, PROBES)
        every = self._search(queries, rows, k, self._cells, 4 * PROPOSALS)
        if every.empty:
            return 1.0
        key = ["query", "user"]
        return len(every[key].merge(found[key], on=key)) / len(every)

    def _search(self, queries: Queries, rows: np.ndarray, k: int, probes: int, proposals: int = 0) -> pd.DataFrame:
        """Return query, entry, user, cosine and rank; only what each query may see."""
        if not len(rows):
            empty = np.empty(0, dtype=np.int64)
            return pd.DataFrame({"query": empty, "entry": empty, "user": empty, "cosine": np.empty(0), "rank": empty})
        most = int(queries.visible[rows].max())
        chosen = faiss.SearchParametersIVF(nprobe=probes, sel=faiss.IDSelectorRange(0, most))  # type: ignore[call-arg]
        vectors = np.ascontiguousarray(queries.vectors[rows], dtype=np.float32)
        faiss.normalize_L2(vectors)
        cosines, entries = self._index.search(vectors, (proposals or PROPOSALS) * k, params=chosen)
        owner = np.broadcast_to(np.arange(len(rows))[:, None], entries.shape)
        users = self._users[np.maximum(entries, 0)]
        seen = (entries >= 0) & (entries < queries.visible[rows, None]) & (users != queries.users[rows, None])
        table = pd.DataFrame({
            "query": rows[owner[seen]], "entry": entries[seen], "user": users[seen],
            "cosine": np.minimum(cosines[seen].astype(np.float64), 1.0),
        })  # fmt: skip
        # Of a user the best entry, of equal ones the latest; equal users by code, as the exact search has it.
        order = np.lexsort((-table["entry"], table["user"], -table["cosine"], table["query"]))
        table = table.iloc[order].drop_duplicates(["query", "user"])
        table["rank"] = table.groupby("query", sort=False).cumcount() + 1
        return table[table["rank"] <= k]
