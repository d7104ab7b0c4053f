import pandas as pd

from mmsra_pipeline.retrieval.times import NEVER, before, milliseconds


def test_unknown_times_lie_before_nothing():
    assert milliseconds(pd.Series([3, pd.NA], dtype="Int64")).tolist() == [3, NEVER]
    assert milliseconds(pd.Series([None, None], dtype="object")).tolist() == [NEVER, NEVER]
    assert milliseconds(pd.Series([3, None], dtype="object")).tolist() == [3, NEVER]


def test_millisecond_times_survive_the_float_column_of_a_parquet_round_trip():
    assert milliseconds(pd.Series([1_695_686_400_123.0, float("nan")])).tolist() == [1_695_686_400_123, NEVER]


def test_a_query_without_a_time_asks_for_everything():
    assert before(pd.NA) is None
    assert before(float("nan")) is None
    assert before(5) == 5
