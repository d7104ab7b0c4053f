import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.ingest.refused import why_few
from mmsra_pipeline.ingest.rejects import HEADER_AGAIN, REPEATED
from mmsra_pipeline.storage.tables import Store


@pytest.fixture
def read(paths):
    """Stores what a source of that many good reviews and of these refused rows, (file, line, reason), gives."""

    def store(kept, refused):
        rows = [(file, line, reason, f"the row {line}" + "x" * 200) for file, line, reason in refused]
        columns = {"file": "str", "line": "int64", "reason": "str", "text": "str"}
        Store.of(paths).replace(Tables.REJECTS, "shop", pd.DataFrame(rows, columns=list(columns)).astype(columns))
        Store.of(paths).replace(Tables.RAW_REVIEWS, "shop", pd.DataFrame({"user_id": ["u"] * kept}))
        return why_few(paths, "shop")

    return store


def test_many_refused_rows_are_said_with_the_first_three_in_order_of_file_and_line(read):
    said = read(2, [("b.csv", 3, "has no user"), *(("a.csv", line, "has no time") for line in (9, 2, 7, 30))])
    assert said.startswith("5 rows (71.4%) of the source were refused, so few are left. Fix these first: ")
    assert said.endswith(". Then: ")
    examples = said.partition("first: ")[2].removesuffix(". Then: ").split("; ")
    assert [each.rpartition(": ")[0] for each in examples] == [f"a.csv, line {line}: has no time" for line in (2, 7, 9)]
    text = examples[0].rpartition(": ")[2]
    assert text.startswith("'the row 2xxx")
    assert len(text) == 80 + len("''")


@pytest.mark.parametrize(("kept", "refused", "many"), [(8, 2, False), (7, 2, True), (0, 1, True), (0, 0, False)])
def test_a_fifth_is_not_many_and_more_is(read, kept, refused, many):
    assert bool(read(kept, [("a.csv", line, "has no user") for line in range(refused)])) is many


def test_rows_that_say_nothing_new_are_no_cause(read):
    again = [("a.csv", line, reason) for line in range(9) for reason in (REPEATED, HEADER_AGAIN)]
    assert read(2, again) == ""
    assert read(2, [*again, ("a.csv", 99, "has no user")]).startswith("1 rows (33.3%)")
