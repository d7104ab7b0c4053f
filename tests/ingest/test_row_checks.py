import pyarrow as pa
import pytest
from ingest.taking import read_tables

from mmsra_pipeline.ingest.row_checks import LATEST_MS, empty, sound_rows, time_flaws

TABLE = pa.table({"user_id": ["u", "", None, "v"], "line": pa.array([3, 4, 6, 9], pa.int64())})


def accepted(flaws):
    return read_tables(lambda sink: [sound_rows(TABLE, flaws, "a.csv", lambda row: f"row {row}", sink)])


def test_flawed_rows_are_refused_with_the_first_reason_and_all_are_counted():
    late = pa.array([None, True, None, True])
    found = accepted([empty(TABLE, "user_id"), (late, "is late")])
    assert found.column("user_id") == ["u"]
    assert found.reasons() == {4: "user_id is empty", 6: "user_id is empty", 9: "is late"}
    assert [reject["text"] for reject in found.rejects] == ["row 1", "row 2", "row 3"]
    assert found.rows == 4


def test_without_flaws_every_row_is_kept():
    assert accepted([]).column("line") == [3, 4, 6, 9]


@pytest.mark.parametrize(
    ("milliseconds", "reason"),
    [
        (0.0, None),
        (float(LATEST_MS), None),
        (None, "timestamp is missing"),
        (-1.0, "timestamp does not lie between 1970 and 2200"),
        (LATEST_MS + 1.0, "timestamp does not lie between 1970 and 2200"),
        (float("nan"), "timestamp does not lie between 1970 and 2200"),
        (float("inf"), "timestamp does not lie between 1970 and 2200"),
        (0.5, "timestamp is no whole number"),
    ],
)
def test_a_time_that_cannot_be_has_a_reason(milliseconds, reason):
    flaws = time_flaws(pa.chunked_array([pa.array([milliseconds], pa.float64())]))
    reasons = [each for flawed, each in flaws if flawed.to_pylist() == [True]]
    assert reasons[:1] == ([reason] if reason else [])
