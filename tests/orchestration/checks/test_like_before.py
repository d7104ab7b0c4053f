import pandas as pd
import pytest

from mmsra_pipeline.orchestration.checks.like_before import like_before, null_shares
from mmsra_pipeline.orchestration.materializations import Materialization


def written(store, count, nulls=0):
    return store.replace("t", "shop", pd.DataFrame({"a": [None] * nulls + ["x"] * (count - nulls), "b": [[1]] * count}))


def before(rows, nulls=0.0, version="other"):
    metadata = {"dagster/row_count": rows, "null_shares": {"a": nulls}, "slice": f"/data/t/shop/{version}.parquet"}
    return Materialization(1, "run", 0.0, None, None, metadata)


def test_shares_of_nulls_are_of_columns_that_are_no_lists(store):
    assert null_shares(written(store, 8, nulls=2).path) == {"a": 0.25}
    assert null_shares(written(store, 0).path) == {}


@pytest.mark.parametrize(("count", "passed"), [(49, False), (50, True), (400, True), (401, False)])
def test_rows_may_be_half_the_fewest_to_twice_the_most_of_before(store, count, passed):
    result = like_before(written(store, count), [before(100), before(200)])
    assert result.passed == passed
    assert result.severity.value == "WARN"
    assert ("rows, where there were 100 to 200" in result.description) != passed


@pytest.mark.parametrize(("nulls", "passed"), [(9, False), (10, True), (40, True), (41, False)])
def test_nulls_may_leave_their_range_by_a_tenth(store, nulls, passed):
    result = like_before(written(store, 100, nulls), [before(100, 0.2), before(100, 0.3)])
    assert result.passed == passed
    assert ("of a are null, where 20.0% to 30.0% were" in result.description) != passed


def test_only_the_last_materializations_of_other_rows_count(store):
    now = written(store, 100)
    assert "no other materialization" in like_before(now, [before(5, version=now.version)]).description
    assert not like_before(now, [before(5)] * 5 + [before(100)]).passed
