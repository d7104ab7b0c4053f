from datetime import UTC, datetime

import duckdb
import pandas as pd
import pytest

from mmsra_pipeline.ingest.raw_tables import item_table
from mmsra_pipeline.interactions.measures import measure_interactions

NOW = datetime(2024, 5, 17, 12, tzinfo=UTC)
ITEMS = item_table(pd.DataFrame({"item_id": ["a", "b"]}))


def measured(*rows: tuple[str, str, str | None], items=ITEMS):
    """Each row: user, item, time in ISO 8601."""
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    times = pd.to_datetime(table["timestamp"], utc=True, format="ISO8601")
    milliseconds = (times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1)
    with duckdb.connect() as connection:
        return measure_interactions(connection, table.assign(timestamp=milliseconds.astype("Int64")), items, NOW)


def test_pairs_that_have_several_rows_are_counted_once_each():
    thrice, twice, once = ("u", "a", None), ("v", "a", None), ("v", "b", None)
    found = measured(thrice, thrice, thrice, twice, twice, once)
    assert (found.interactions, found.repeated_pairs) == (6, 2)


def test_interactions_with_items_that_the_metadata_describe_are_counted():
    assert measured(("u", "a", None), ("v", "a", None), ("u", "x", None)).known_items == 2
    assert measured(("u", "a", None), items=ITEMS[:0]).known_items == 0


@pytest.mark.parametrize(
    ("time", "strange"),
    [
        ("1994-12-31T23:59:59.999Z", 1),
        ("1995-01-01T00:00:00Z", 0),
        ("2024-05-18T12:00:00Z", 0),  # clocks differ, by a day at most
        ("2024-05-18T12:00:00.001Z", 1),
    ],
)
def test_times_before_1995_and_after_tomorrow_are_strange(time, strange):
    assert measured(("u", "a", time), ("u", "b", "2001-02-03")).strange_times == strange


def test_the_earliest_and_the_latest_time_are_reported_as_dates():
    found = measured(("u", "a", "2001-02-03T23:59:59Z"), ("u", "b", "1999-12-31"))
    assert (found.earliest, found.latest) == ("1999-12-31", "2001-02-03")
    untimed = measured(("u", "a", None))
    assert (untimed.earliest, untimed.latest, untimed.strange_times) == (None, None, 0)


def test_a_time_of_a_wrong_unit_is_reported_although_no_calendar_has_it():
    rows = pd.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1_700_000_000_000_000]})
    with duckdb.connect() as connection:
        found = measure_interactions(connection, rows, ITEMS, NOW)
    assert found.latest == "55840-11-08"
    assert found.strange_times == 1
