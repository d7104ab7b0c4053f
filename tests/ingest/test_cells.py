import logging

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmsra_pipeline.ingest.cells import TICKS, UNITS, TimeReader, parse_ratings

MOMENT = 1_583_378_629_000  # 2020-03-05T03:23:49Z


def text(*cells: str | None) -> pd.Series:
    return pd.Series(list(cells), dtype="str")


def times_of(*cells: str | None) -> tuple[list, list[str]]:
    times, reasons = TimeReader("t.csv").read(text(*cells))
    return times.tolist(), reasons.tolist()


@pytest.mark.parametrize(
    "cell",
    [
        "1583378629",
        "1583378629.0",
        "1583378629000",
        "1583378629000000",
        "1.583378629e9",
        "2020-03-05T03:23:49Z",
        "2020-03-05 03:23:49",
        "2020-03-05T04:23:49+01:00",
        "2020-03-04 22:23:49-0500",
    ],
)
def test_seconds_milliseconds_microseconds_and_iso_are_told_apart(cell):
    assert times_of(cell) == ([MOMENT], [""])


@pytest.mark.parametrize(("cell", "milliseconds"), [("1583378629552", 552), ("1583378629552499", 552)])
def test_milliseconds_keep_their_last_digit(cell, milliseconds):
    assert times_of(cell)[0] == [MOMENT + milliseconds]


def test_a_part_of_a_second_is_kept():
    assert times_of("1583378629.25", "2020-03-05T03:23:49.25Z")[0] == [MOMENT + 250] * 2


def test_zones_may_differ_within_a_column_and_none_is_utc():
    cells = ("2020-03-05T04:23:49+01:00", "2020-03-04T22:23:49-05:00", "2020-03-05T03:23:49")
    assert times_of(*cells) == ([MOMENT] * 3, ["", "", ""])


@pytest.mark.parametrize("cell", ["2020-03-05", "20200305"])
def test_a_day_is_its_midnight(cell):
    assert times_of(cell) == ([1_583_366_400_000], [""])


def test_a_column_of_days_takes_no_other_numbers():
    times, reasons = times_of("20200305", "20200306", "20201399", "1583378629", "2020-03-05T00:00:00Z", "20200229")
    assert [time for time, reason in zip(times, reasons) if not reason] == [
        1_583_366_400_000, 1_583_452_800_000, 1_583_366_400_000, 1_582_934_400_000,
    ]  # fmt: skip
    assert {reasons[2], reasons[3]} == {"timestamp is no day like 20240229, as the column's are"}


def test_a_column_of_seconds_may_hold_a_number_that_looks_like_a_day():
    assert times_of("1583378629", "20200305", "1583378630")[0][1] == 20_200_305_000


def test_a_column_without_any_time_is_fine():
    reader = TimeReader("t.csv")
    assert reader.read(text(None, None))[1].tolist() == ["", ""]
    assert reader.read(text(None))[0].isna().all()


def test_a_time_after_a_first_chunk_without_any_is_refused():
    reader = TimeReader("t.csv")
    reader.read(text(None, None))
    times, reasons = reader.read(text(None, "1583378629"))
    assert times.isna().all()
    assert reasons.tolist() == ["", "has a timestamp, but the first rows of the column have none"]


def test_a_chunk_without_rows_tells_nothing():
    reader = TimeReader("t.csv")
    reader.read(text())
    assert reader.read(text("1583378629"))[0].tolist() == [MOMENT]


def test_the_unit_is_detected_from_most_of_the_first_chunk_and_holds():
    reader = TimeReader("t.csv")
    assert reader.read(text("1583378629", "1583378629000", "1583378629"))[1].tolist() == [
        "", "timestamp is of another size than seconds, as the column's are", "",
    ]  # fmt: skip
    later = reader.read(text("1583378629000", "1583378629001", "1583378629"))
    assert later[1].ne("").tolist() == [True, True, False]


def test_what_was_detected_is_logged_once(caplog):
    caplog.set_level(logging.INFO)
    reader = TimeReader("pairs.csv")
    for _ in range(2):
        reader.read(text("1583378629000"))
    assert [record.message for record in caplog.records] == [
        "pairs.csv: timestamps are milliseconds since 1970, detected from the first 1 rows"
    ]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "timestamp is empty"),
        ("soon", "timestamp is neither ISO 8601 nor a number"),
        ("2020-13-01", "timestamp is neither ISO 8601 nor a number"),
        ("nan", "timestamp is neither ISO 8601 nor a number"),
        ("-1", "timestamp does not lie between 1970 and 2200"),
        ("9000000000", "timestamp does not lie between 1970 and 2200"),
        ("1969-12-31", "timestamp does not lie between 1970 and 2200"),
        ("9999-12-31", "timestamp does not lie between 1970 and 2200"),
        ("1583378629000", "timestamp is of another size than seconds"),
        ("1583378629000000", "timestamp is of another size than seconds"),
        ("1583378629000000000", "timestamp is of another size than seconds"),
        ("inf", "timestamp is too large for nanoseconds"),
        ("1e400", "timestamp is too large for nanoseconds"),
        ("9" * 400, "timestamp is too large for nanoseconds"),
    ],
)
def test_a_cell_that_is_no_time_gets_a_reason(cell, reason):
    times, reasons = times_of("1583378629", cell, "1583378630")
    assert reason in reasons[1]
    assert times[1] is pd.NA
    assert [reasons[0], reasons[2]] == ["", ""]


def test_seconds_in_a_column_of_milliseconds_are_refused():
    assert times_of("1583378629000", "1583378629001", "1583378629")[1][2] == (
        "timestamp is of another size than milliseconds, as the column's are"
    )


@settings(deadline=None)
@given(
    moments=st.lists(st.integers(10**11, 7_258_118_400_000 - 1), min_size=1, max_size=20),
    unit=st.sampled_from(UNITS),
    cut=st.integers(0, 20),
)
def test_times_of_any_unit_come_back_however_the_column_is_cut(moments, unit, cut):
    counts = [int(moment * unit.per_millisecond) for moment in moments]
    assume(not any(low <= count <= high for count in counts for low, high, _ in TICKS))  # as 1989 in nanoseconds is
    cells = [str(count) for count in counts]
    reader = TimeReader("t.csv")
    chunks = [reader.read(text(*part)) for part in (cells[:cut], cells[cut:]) if part]
    precision = 1000 if unit.name == "seconds" else 1
    assert [time for times, _ in chunks for time in times] == [moment // precision * precision for moment in moments]
    assert not [reason for _, reasons in chunks for reason in reasons if reason]


def test_ratings_are_numbers_or_nothing():
    ratings, reasons = parse_ratings(text("4.5", None, "good", "nan", "inf", "9" * 400))
    assert ratings.fillna(-1).tolist() == [4.5, -1, -1, -1, -1, -1]
    assert [reason[:22] for reason in reasons] == ["", "", *["rating is not a number"] * 4]
