"""Similar users part by part, so that memory and time do not grow faster than the data.

Up to ``exact_entries`` training moments the search is exact, in one part. Of more it looks into cells of the space
(``approximate_search``); of validation and test queries a sample is answered then, of serving those of users seen of
late, and those that were drawn for training.
"""

import logging
from collections.abc import Collection, Iterator
from typing import Final

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import SERVE, SPLIT, TEST, TIME, TRAIN, USER, VALIDATION
from mmsra_pipeline.config.tree import SimilarUsersConfig
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.approximate_search import ApproximateEntries
from mmsra_pipeline.retrieval.as_of_search import Queries
from mmsra_pipeline.retrieval.entry_vectors import vectors_by_user
from mmsra_pipeline.retrieval.similar_users import (
    embedded,
    find_similar_users,
    knowledge_base,
    neighbor_table,
    visible_entries,
)
from mmsra_pipeline.retrieval.times import milliseconds
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.telemetry.progress import tracked

QUERIES_TOGETHER: Final = 20_000
SAMPLE: Final = 400_000  # entries of which the cells are found, about
logger = logging.getLogger(__name__)


def similar_users_in_parts(
    encoder: FoldedEncoder,
    rows: pd.DataFrame,
    drawn: pd.DataFrame,
    config: SimilarUsersConfig,
    histories: Histories,
    seed: int,
    served: Collection[str] | None = None,
) -> Iterator[pd.DataFrame]:
    """Return the table ``similar_users``, a part at a time.

    Args:
        encoder: embeds the histories.
        rows: all rows of ``sequences``, users as categories, sorted by user and position.
        drawn: those that were drawn for training, users as text.
        config: how many neighbours, the rule, and how many entries are searched exactly.
        histories: what users took.
        seed: of the sample.
        served: whose queries of serving are answered where the search is not exact; None: all.
    """
    training = rows[rows[SPLIT] == TRAIN]
    if len(training) <= config.exact_entries:
        queries = pd.concat([drawn, rows[rows[SPLIT] != TRAIN]], ignore_index=True)
        yield find_similar_users(encoder, training, queries, config, histories)
        return
    users = rows[USER].cat.categories
    asked = drawn.assign(**{USER: pd.Categorical(drawn[USER], categories=users)})
    queries = pd.concat([asked, *answered(rows, config.held_out_queries, seed, served)], ignore_index=True)
    logger.info("similar users: %d entries are searched approximately for %d queries", len(training), len(queries))
    base = knowledge_base(training)
    place = np.empty(len(training), dtype=np.int64)  # of a training row among the entries by time
    place[training.index.get_indexer(base.index)] = np.arange(len(training))
    visible = visible_entries(milliseconds(base[TIME]), queries, config.rule)
    owner, asking = (frame[USER].cat.codes.to_numpy() for frame in (base, queries))
    count = max(config.k, config.voters)
    is_training = (queries[SPLIT] == TRAIN).to_numpy()
    for one, chosen in encoder.by_encoder(queries[USER], is_training):
        entries = _entries(one, training, place, owner, histories)
        judged = False
        starts = range(0, len(chosen), QUERIES_TOGETHER)
        for start in tracked(starts, len(starts), "similar users", "parts"):
            part = chosen[start : start + QUERIES_TOGETHER]
            own = queries.iloc[part]
            asked_of = Queries(embedded(one, own, histories), asking[part], visible[part])
            if not judged:
                judged = True
                logger.info(
                    "similar users: %.1f %% of those that a look at all entries finds are found",
                    100 * entries.recall(asked_of, count),
                )
            found = entries.nearest_users(asked_of, count)
            yield neighbor_table(base, own, pd.DataFrame(vars(found)))


def answered(rows: pd.DataFrame, most: int, seed: int, served: Collection[str] | None = None) -> list[pd.DataFrame]:
    """Return the held-out rows that are answered, those of ``most`` random users a split, and those of serving.

    The users are the first of the permutation from which evaluation takes its own. ``served``: of serving these; None:
    all.
    """
    found = []
    for split in (VALIDATION, TEST):
        own = rows[rows[SPLIT] == split]
        users = own[USER].drop_duplicates().to_numpy()
        if len(users) > most:
            kept = np.random.default_rng(seed).permutation(np.asarray(users, dtype=object))[:most]
            own = own[own[USER].isin(kept)]
        found.append(own)
    serving = rows[rows[SPLIT] == SERVE]
    return [*found, serving if served is None else serving[serving[USER].isin(served)]]


def _entries(
    encoder: UserEncoder, training: pd.DataFrame, place: np.ndarray, owner: np.ndarray, histories: Histories
) -> ApproximateEntries:
    every = max(1, len(training) // SAMPLE)
    some = training[training[USER].cat.codes.to_numpy() % every == 0]  # whole users: one pass gives all their moments
    sample = np.concatenate([vectors for _, vectors in vectors_by_user(encoder, some, histories)])
    sample = sample[sample.any(axis=1)]
    sample = sample / np.linalg.norm(sample, axis=1, keepdims=True)
    entries = ApproximateEntries(sample, len(training), owner)
    for rows, vectors in vectors_by_user(encoder, training, histories):
        entries.add(vectors, place[rows])
    return entries
