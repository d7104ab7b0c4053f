import pandas as pd
import pytest
from recommendation.wide_shop import sequences

from mmsra_pipeline.columns import POSITION, SPLIT, TEST, TRAIN, USER, VALIDATION
from mmsra_pipeline.config.tree import RecommendationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.query_sampling import asked_of, draw_queries, training_queries, validation_queries

CONFIG = RecommendationConfig(examples=20, validation_lists=7)


def test_drawn_queries_lead_to_the_rows_that_were_drawn_whatever_the_order_of_sequences():
    rows = sequences()
    drawn = draw_queries(rows, CONFIG, 0)
    assert list(drawn.columns) == [SPLIT, USER, POSITION]
    assert (drawn[SPLIT] == VALIDATION).sum() == 7
    for shuffled in (rows, rows.sample(frac=1, random_state=1)):
        pd.testing.assert_frame_equal(asked_of(shuffled, drawn, TRAIN), training_queries(rows, CONFIG, 0))
        pd.testing.assert_frame_equal(asked_of(shuffled, drawn, VALIDATION), validation_queries(rows, CONFIG, 0))
    assert asked_of(rows, drawn, TEST).empty


def test_queries_of_another_run_are_named():
    rows = sequences()
    drawn = draw_queries(rows, CONFIG, 0)
    gone = drawn.iloc[0]
    left = rows[(rows[USER] != gone[USER]) | (rows[POSITION] != gone[POSITION])]
    with pytest.raises(
        DataError, match=rf"1 of \d+ drawn queries .*user_id='{gone[USER]}', position={gone[POSITION]}\)"
    ):
        asked_of(left, drawn, TRAIN)
