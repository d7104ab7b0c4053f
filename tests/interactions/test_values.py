import pandas as pd
import pytest

from mmsra_pipeline.interactions.values import parse_ratings, parse_times


def text(*cells: str | None) -> pd.Series:
    return pd.Series(list(cells), dtype="str")


@pytest.mark.parametrize(
    "cell",
    [
        "1583378629",
        "1583378629.0",
        "1583378629000",
        "2020-03-05T03:23:49Z",
        "2020-03-05 03:23:49",
        "2020-03-05T04:23:49+01:00",
    ],
)
def test_seconds_milliseconds_and_iso_are_told_apart(cell):
    times, reasons = parse_times(text(cell))
    assert times.tolist() == [1_583_378_629_000]
    assert reasons.tolist() == [""]


def test_milliseconds_keep_their_last_digit():
    assert parse_times(text("1583378629552"))[0].tolist() == [1_583_378_629_552]


def test_zones_may_differ_within_a_column_and_none_is_utc():
    times, reasons = parse_times(text("2020-03-05T04:23:49+01:00", "2020-03-04T22:23:49-05:00", "2020-03-05T03:23:49"))
    assert times.tolist() == [1_583_378_629_000] * 3
    assert reasons.tolist() == ["", "", ""]


def test_a_day_is_its_midnight():
    assert parse_times(text("2020-03-05"))[0].tolist() == [1_583_366_400_000]


def test_a_column_without_any_time_is_fine():
    times, reasons = parse_times(text(None, None))
    assert times.isna().all()
    assert reasons.tolist() == ["", ""]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "timestamp is empty"),
        ("soon", "timestamp is neither ISO 8601 nor a number"),
        ("2020-13-01", "timestamp is neither ISO 8601 nor a number"),
        ("-1", "timestamp does not lie between 1970 and 2200"),
        ("9000000000", "timestamp does not lie between 1970 and 2200"),
        ("1583378629000", "timestamp looks like milliseconds, but most of the column is seconds"),
        ("1583378629000000", "timestamp is neither seconds nor milliseconds"),
        ("inf", "timestamp is neither seconds nor milliseconds"),
        ("1e400", "timestamp is neither seconds nor milliseconds"),
    ],
)
def test_a_cell_that_is_no_time_gets_a_reason(cell, reason):
    times, reasons = parse_times(text("1583378629", cell, "1583378630"))
    assert reason in reasons[1]
    assert times[1] is pd.NA
    assert reasons[[0, 2]].tolist() == ["", ""]


def test_seconds_in_a_column_of_milliseconds_are_refused():
    reasons = parse_times(text("1583378629000", "1583378629001", "1583378629"))[1]
    assert reasons[2] == "timestamp looks like seconds, but most of the column is milliseconds"


def test_ratings_are_numbers_or_nothing():
    ratings, reasons = parse_ratings(text("4.5", None, "good", "nan", "inf"))
    assert ratings.fillna(-1).tolist() == [4.5, -1, -1, -1, -1]
    assert reasons.tolist() == ["", "", *["rating is not a number"] * 3]
