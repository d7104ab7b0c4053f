"""Similar users and what they took next, as of the moment of each query (sec. 3.4, made safe in time)."""

import logging
import math

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import (
    HISTORY,
    ITEM,
    NEIGHBOR,
    POSITION,
    RANK,
    SCORE,
    SERVE,
    SPLIT,
    TARGET,
    TIME,
    TRAIN,
    USER,
)  # fmt: skip
from mmsra_pipeline.config.tree import SimilarUsersConfig
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.as_of_search import Entries, Queries, nearest_users, unit_vectors
from mmsra_pipeline.retrieval.times import NEVER, milliseconds
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder

NEIGHBOR_POSITION = "neighbor_position"
logger = logging.getLogger(__name__)


def find_similar_users(
    encoder: FoldedEncoder,
    sequences: pd.DataFrame,
    queries: pd.DataFrame,
    config: SimilarUsersConfig,
    histories: Histories | None = None,
) -> pd.DataFrame:
    """Return the users most similar to each query, ``config.k`` or ``config.voters`` if more, and what each took next.

    The knowledge base is the training rows of ``sequences``: every prefix of a training history, with what came next
    and when. A neighbour counts once, by its most similar prefix, and never is the query's own user. Under the rule
    ``as_of`` only entries whose next item was taken before the query count; serve queries see all. Data without
    times cannot tell: there the rule is the paper's, all training entries of other users, and the log says so.

    Args:
        encoder: embeds the histories. A training query and all that it is compared with are embedded by the encoder
            that has not seen its user, other queries by the full one.
        sequences: the table; only its training rows are searched.
        queries: rows of ``sequences``.
        config: how many neighbours, and the rule.
        histories: what users took, where the rows have no histories written out.

    Returns:
        One row per query and neighbour: ``score`` is the cosine in [-1, 1], ``item_id`` and ``timestamp`` are the
        neighbour's next item, ``rank`` 1 is the most similar; equal cosines by neighbour id. Queries whose history has
        no known item, or that see nobody, have no row.
    """
    base = knowledge_base(sequences)
    _, codes = np.unique(np.concatenate([base[USER], queries[USER]]).astype(str), return_inverse=True)
    visible = visible_entries(milliseconds(base[TIME]), queries, config.rule)
    matches = _matches(encoder, base, queries, codes, visible, max(config.k, config.voters), histories)
    logger.info("similar users: %d found for %d of %d queries", len(matches), matches["query"].nunique(), len(queries))
    return neighbor_table(base, queries, matches)


def neighbor_table(base: pd.DataFrame, queries: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table for matches (places in both frames, cosine, rank)."""
    neighbors, found = base.iloc[matches["entry"]], queries.iloc[matches["query"]]
    return pd.DataFrame(
        {
            USER: found[USER].to_numpy(),
            POSITION: found[POSITION].to_numpy(dtype=np.int64),
            RANK: matches["rank"].to_numpy(),
            NEIGHBOR: neighbors[USER].to_numpy(),
            NEIGHBOR_POSITION: neighbors[POSITION].to_numpy(dtype=np.int64),
            ITEM: neighbors[TARGET].to_numpy(),
            TIME: neighbors[TIME].astype("Int64").array,
            SCORE: matches["cosine"].to_numpy(),
        }
    ).astype({USER: "str", NEIGHBOR: "str", ITEM: "str"})


def _matches(
    encoder: FoldedEncoder,
    base: pd.DataFrame,
    queries: pd.DataFrame,
    codes: np.ndarray,
    visible: np.ndarray,
    count: int,
    histories: Histories | None,
) -> pd.DataFrame:
    """Search with each encoder for the queries that it answers; give ``Matches`` of all, places in both tables.

    ``codes`` are of the users of ``base``, then of ``queries``.
    """
    training = (queries[SPLIT] == TRAIN).to_numpy()
    found = []
    for one, rows in encoder.by_encoder(queries[USER].tolist(), training):
        seen = int(visible[rows].max(initial=0))  # what none of these queries may see need not be embedded
        entries = Entries(unit_vectors(embedded(one, base.iloc[:seen], histories)), codes[:seen])
        vectors = unit_vectors(embedded(one, queries.iloc[rows], histories))
        matches = nearest_users(entries, Queries(vectors, codes[len(base) + rows], visible[rows]), count)
        found.append(pd.DataFrame({**vars(matches), "query": rows[matches.query]}))
    return pd.concat(found).sort_values("query", kind="stable")  # a query's are of one encoder, and in order there


def embedded(encoder: UserEncoder, rows: pd.DataFrame, histories: Histories | None) -> np.ndarray:
    """Return the vectors of the histories of rows, [rows, dim]."""
    if histories is None:
        return encoder.embed(rows[HISTORY].tolist())
    codes, sizes = histories.flat(rows)
    return encoder.embed_codes(encoder.codes_of(histories.items)[codes], sizes)


def hit_share(similar_users: pd.DataFrame, queries: pd.DataFrame) -> float:
    """Return the share, in [0, 1], of queries whose target is among the retrieved next items.

    Queries that found nobody count as missed. nan without a query. ``similar_users`` may hold other queries too.
    """
    wanted = queries[[USER, POSITION, TARGET]].rename(columns={TARGET: ITEM})
    hits = wanted.merge(similar_users[[USER, POSITION, ITEM]].drop_duplicates(), on=[USER, POSITION, ITEM])
    return len(hits) / len(wanted) if len(wanted) else math.nan


def leak_rate(similar_users: pd.DataFrame, queries: pd.DataFrame) -> float:
    """Return the share, in [0, 1], of retrieved next items that were not taken before their query.

    Measured on queries that have a time; an item without a time counts as a leak, for nothing shows that it came
    before. nan where no query has a time: then it cannot be measured.
    """
    asked = queries[[USER, POSITION, TIME]].rename(columns={TIME: "asked"})
    joined = similar_users[[USER, POSITION, TIME]].merge(
        asked, on=[USER, POSITION], how="inner", validate="many_to_one"
    )
    if len(joined) != len(similar_users):
        raise ValueError(f"{len(similar_users) - len(joined)} rows of similar_users belong to none of the queries")
    asked_at = milliseconds(joined["asked"])
    timed = asked_at != NEVER
    if not timed.any():
        return math.nan
    return float((milliseconds(joined[TIME])[timed] >= asked_at[timed]).mean())


def knowledge_base(sequences: pd.DataFrame) -> pd.DataFrame:
    """Training rows, oldest next item first; within one instant by user and position."""
    rows = sequences[sequences[SPLIT] == TRAIN]
    ordered = rows.assign(**{TIME: milliseconds(rows[TIME])}).sort_values([TIME, USER, POSITION])
    return rows.loc[ordered.index]


def visible_entries(times: np.ndarray, queries: pd.DataFrame, rule: str) -> np.ndarray:
    """Count the entries, oldest first, that each query may see. ``times`` are sorted."""
    everything = np.full(len(queries), len(times), dtype=np.int64)
    if rule == "training_users":
        return everything
    if not len(times) or times[0] == NEVER:
        logger.warning(
            "similar users: the data have no times, so nothing tells whether a neighbour's next item came before the "
            "query. Only training users are searched; the leak rate cannot be measured."
        )
        return everything
    asked_at = milliseconds(queries[TIME])
    served = (queries[SPLIT] == SERVE).to_numpy()
    untimed = (asked_at == NEVER) & ~served
    if untimed.any():
        logger.warning("similar users: %d queries have no time in data with times and get no neighbours", untimed.sum())
    earlier = np.searchsorted(times, asked_at, side="left")
    return np.where(served, everything, np.where(untimed, 0, earlier))
