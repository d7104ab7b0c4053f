"""The first stage: candidates out of the whole catalogue, from several views fused by reciprocal rank."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, RANK, TARGET, TIME, USER
from mmsra_pipeline.config import FirstStageConfig
from mmsra_pipeline.retrieval.cooccurrence import CooccurrenceIndex
from mmsra_pipeline.retrieval.encoder import UserEncoder
from mmsra_pipeline.retrieval.times import before

RECIPROCAL_OFFSET = 60  # of reciprocal rank fusion (Cormack et al., SIGIR 2009)
QUERIES_TOGETHER = 512


def first_stage(
    encoder: UserEncoder,
    index: CooccurrenceIndex,
    queries: pd.DataFrame,
    catalogue: Sequence[str],
    config: FirstStageConfig,
    *,
    interactions: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Give the best ``config.candidates`` items of the catalogue for each query.

    The user encoder and co-occurrence (as of the query, without the user's own events) each rank the items they know
    something of; an item earns the sum of 1 / (60 + rank). What neither knows follows by popularity, then by id.

    Args:
        encoder: scores the items it was trained on.
        index: scores co-occurrence, and counts users of items.
        queries: rows of ``sequences``.
        catalogue: item ids that may be recommended.
        config: how many.
        interactions: whole histories. ``queries`` hold the last items only; with this no older item comes back.

    Returns:
        ``user_id``, ``position``, ``item_id``, ``rank`` from 1. Items in the user's history are left out; fewer rows
        where the catalogue has no more.
    """
    items = sorted(set(catalogue))
    places = {item: place for place, item in enumerate(items)}
    taken = _taken(interactions) if interactions is not None else {}
    rows: list[tuple[str, int, str, int]] = []
    for start in range(0, len(queries), QUERIES_TOGETHER):
        part = queries.iloc[start : start + QUERIES_TOGETHER]
        encoded = _spread(encoder.score_all(part[HISTORY].tolist()), encoder.items, items)
        asked = part[[USER, POSITION, HISTORY, TIME]].itertuples(index=False, name=None)
        for scores, (user, position, history, time) in zip(encoded, asked, strict=True):
            joined, popular = _collaborative(index, list(history), before(time), str(user), items)
            seen = [places[item] for item in [*history, *taken.get(user, [])[:position]] if item in places]
            best = fuse([scores, joined], popular, seen)[: config.candidates]
            rows += [(user, position, items[place], rank) for rank, place in enumerate(best, start=1)]
    found = pd.DataFrame(rows, columns=[USER, POSITION, ITEM, RANK])
    return found.astype({USER: "str", POSITION: "int64", ITEM: "str", RANK: "int64"})


def _collaborative(
    index: CooccurrenceIndex, history: list[str], time: int | None, user: str, items: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Co-occurrence with the history (-inf where there is none) and users of each item, as of a time."""
    joined = _spread(index.score_all(history, time, user)[None, :], index.items, items)[0]
    popular = _spread(index.counts(before=time, exclude_user=user)[None, :], index.items, items)[0]
    return np.where(joined > 0, joined, -np.inf), popular


def fuse(
    scores: Sequence[Float[np.ndarray, " items"]], fallback: Float[np.ndarray, " items"], seen: Sequence[int]
) -> np.ndarray:
    """Order items by the sum of reciprocal ranks over several scores (-inf: not ranked), then by ``fallback``.

    Ties in a score take the item's place. Items at the places ``seen`` are left out.

    >>> fuse([np.array([3.0, 2.0, -np.inf]), np.array([1.0, 5.0, -np.inf])], np.zeros(3), seen=[0]).tolist()
    [1, 2]
    """
    fused = np.zeros(len(fallback))
    allowed = np.ones(len(fallback), dtype=bool)
    allowed[list(seen)] = False
    for score in scores:
        ranked = np.flatnonzero(allowed & ~np.isneginf(score))
        ranked = ranked[np.argsort(-score[ranked], kind="stable")]
        fused[ranked] += 1.0 / (RECIPROCAL_OFFSET + np.arange(1, len(ranked) + 1))
    order = np.lexsort((-fallback, -fused))
    return order[allowed[order]]


def recall_at(candidates: pd.DataFrame, queries: pd.DataFrame, cutoffs: Sequence[int]) -> pd.DataFrame:
    """Give ``k`` and ``recall``: the share of queries, in [0, 1], whose target is among their first k candidates."""
    wanted = queries[[USER, POSITION, TARGET]].rename(columns={TARGET: ITEM})
    found = wanted.merge(candidates, on=[USER, POSITION, ITEM], how="left")[RANK]
    return pd.DataFrame({"k": list(cutoffs), "recall": [float((found <= k).mean()) for k in cutoffs]})


def _taken(interactions: pd.DataFrame) -> Mapping[str, list[str]]:
    """Each user's items in order of position, which runs from 0."""
    ordered = interactions.sort_values([USER, POSITION])
    return {str(user): list(group) for user, group in ordered.groupby(USER)[ITEM]}


def _spread(scores: np.ndarray, known: Sequence[str], items: Sequence[str]) -> np.ndarray:
    """Bring columns that stand for ``known`` into the order of ``items``; -inf where an item is not known."""
    place = {item: column for column, item in enumerate(known)}
    columns = np.array([place.get(item, len(known)) for item in items], dtype=np.int64)
    unknown = np.full((len(scores), 1), -np.inf)
    return np.concatenate([scores.astype(np.float64), unknown], axis=1)[:, columns]
