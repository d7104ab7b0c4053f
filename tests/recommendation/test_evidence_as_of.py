from dataclasses import replace

import pandas as pd
import pytest
from recommendation import wide_shop
from recommendation.wide_shop import ITEMS

from mmsra_pipeline.columns import SPLIT, TIME, TRAIN, USER
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.recommendation.evidence_as_of import Stated, differences
from mmsra_pipeline.recommendation.queries import queries_of
from mmsra_pipeline.retrieval.cooccurrence.events import known_interactions


def stated(rows, source, change=lambda query: query):
    """What the source states of all items for each of these rows of ``sequences``."""
    queries = [change(query) for query in queries_of(rows)]
    found = source.of(queries, [ITEMS] * len(queries), training=False)
    keys = zip(rows[SPLIT], queries, found, strict=True)
    return [Stated(split, query.user, query.position, ITEMS, own.classes.tolist()) for split, query, own in keys]


@pytest.fixture(scope="module")
def rows():
    return wide_shop.sequences()[wide_shop.sequences()[SPLIT].isin([TRAIN, "test"])]


def compared(given, *, similar=None, sequences=None, most=12):
    sequences = wide_shop.sequences() if sequences is None else sequences
    similar = wide_shop.voters().assign(**{TIME: 0}) if similar is None else similar
    return differences(
        given, sequences, known_interactions(wide_shop.training()), similar, session_hours=None, most=most
    )


def test_what_is_stated_as_of_the_query_is_the_same_without_all_that_came_later(rows):
    given = stated(rows.iloc[::7], wide_shop.source())
    assert compared(given) == (min(12, len(given)), [])


def test_what_counts_later_interactions_is_found(rows):
    late = rows[rows[TIME] <= rows[TIME].quantile(0.5)].iloc[::5]
    given = stated(late, wide_shop.source(), lambda query: replace(query, before=None))
    found = compared(given)
    assert len(found.different) > found.compared / 2
    assert "cooccurrence" in " ".join(found.different)
    assert "popularity" in " ".join(found.different)


def test_votes_from_the_future_are_found(rows):
    voters = wide_shop.voters()
    asked = rows.merge(voters[[USER, "position"]].drop_duplicates(), on=[USER, "position"]).head(5)
    given = stated(asked, wide_shop.source())
    assert any(any(own[SLOTS.index("votes")] for own in one.classes) for one in given)
    found = compared(given, similar=voters.assign(**{TIME: rows[TIME].max() + 1}))
    assert found.different
    assert all("votes" in one for one in found.different)


def test_data_without_times_have_nothing_to_compare(rows):
    given = stated(rows.head(3), wide_shop.source())
    untimed = wide_shop.sequences().assign(**{TIME: pd.array([None] * len(wide_shop.sequences()), dtype="Int64")})
    assert compared(given, sequences=untimed) == (0, [])
