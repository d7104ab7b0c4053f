import pandas as pd
import pytest

from mmsra_pipeline.orchestration.drift import changed_keywords_share, new_share


@pytest.fixture
def measured(store):
    def measure(what, then, now):
        paths = [store.replace("t", name, rows).path for name, rows in (("then", then), ("now", now))]
        with store.duckdb() as connection:
            return what(connection, *paths)

    return measure


def interactions(*pairs):
    return pd.DataFrame([tuple(pair) for pair in pairs], columns=["user_id", "item_id"], dtype="str")


def said(**words):
    return pd.DataFrame({"item_id": list(words), "keywords": list(words.values())})


def test_new_interactions_are_counted_against_all_there_are_now(measured):
    then = interactions("ua", "ub", "va")
    now = interactions("ua", "ub", "vb", "wc")  # 'va' is gone, 'vb' and 'wc' are new
    assert measured(new_share, then, now) == 2 / 4
    assert measured(new_share, then, then) == 0
    assert measured(new_share, then, interactions()) == 0


def test_keywords_count_as_changed_by_item_and_order(measured):
    then = said(a=["red", "mug"], b=["blue"], c=["bag"], gone=["x"])
    now = said(a=["mug", "red"], b=["blue"], c=["bag", "leather"], new=["y"])
    assert measured(changed_keywords_share, then, now) == 2 / 3
    assert measured(changed_keywords_share, then, then) == 0
    assert measured(changed_keywords_share, said(a=["x"]), said(b=["x"])) == 0
