import pandas as pd

from mmsra_pipeline.defs.items import _few_alike


def test_many_items_that_look_alike_are_warned_of_with_examples():
    alike = pd.DataFrame({"item_id": ["a", "b"], "near_item_id": ["b", "a"], "distance": [0, 0]})
    few = _few_alike("near_duplicate_pictures", alike, 20, "picture")
    many = _few_alike("near_duplicate_pictures", alike, 19, "picture")
    assert (few.passed, many.passed, many.severity.value) == (True, False, "WARN")
    assert few.description == "2 of 20 items with a picture (10.0%) have nearly that of another item"
    assert many.description.endswith("look in the source for placeholders, and for one thing under several ids")
    assert many.metadata["count"].value == 2
    assert [record.data["item_id"] for record in many.metadata["examples"].records] == ["a", "b"]


def test_without_any_pictures_none_are_alike():
    assert _few_alike("near_duplicate_pictures", pd.DataFrame({"item_id": []}), 0, "picture").passed
