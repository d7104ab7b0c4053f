import numpy as np
import pandas as pd

from mmsra_pipeline.backbone.embedded.drawing import ALL_LOOKS, HELD_OUT, Look
from mmsra_pipeline.summarization.quality import panel as p
from mmsra_pipeline.summarization.quality.keyword_retrieval import Places
from mmsra_pipeline.summarization.quality.verification import Confidence

NAN = float("nan")
FOUND = Places(before=np.array([0.0, 3.0, NAN]), tied=np.array([0.0, 0.0, NAN]))


def keywords(**columns):
    rows = {
        "item_id": ["a", "b", "c"],
        "keywords": [["red", "mug"], ["mug"], []],
        "image_keywords": [["red"], [], []],
        "text_keywords": [["mug"], ["mug"], []],
        "well_formed": [True, True, False],
        "copied": [0.5, 1.0, 0.0],
        "information": [0.5, 0.25, NAN],
    }
    return pd.DataFrame(rows | columns)


def quality(**columns):
    written = p.with_source(keywords(**columns), "model")
    return p.quality_table(written, {"a": Confidence(0.75, 0.5)}, FOUND, {"b": "title: long"})


def same(found, expected):
    np.testing.assert_array_equal(np.asarray(found, dtype=np.float64), np.array(expected, dtype=np.float64))


def test_the_table_has_a_row_per_item_and_says_what_is_not_known():
    table = quality()
    assert list(table.columns) == p.COLUMNS
    assert table["source"].tolist() == ["model", "model", "none"]
    same(table["confidence_image"], [0.75, NAN, NAN])
    same(table["retrieval_rank"], [1, 4, NAN])
    assert table["suspicious"].tolist() == ["", "title: long", ""]


def test_who_wrote_keywords_is_taken_from_the_table_where_it_says_so():
    assert p.with_source(keywords(source=["extractive"] * 3), "model")["source"].tolist() == ["extractive"] * 3


def test_coverage_is_of_items_that_have_a_picture_or_text():
    found = p.form_measures(quality(), pictured=[True, True, False], spoken=[True, True, False])
    same(found["format_rate"], [1, 1, 0])
    same(found["picture_coverage"], [1, 0, NAN])
    same(found["text_coverage"], [1, 1, NAN])
    same(found["copied"], [0.5, 1, NAN])
    same(found["suspicious"], [0, 1, 0])


def test_retrieval_is_compared_with_extractive_keywords_item_by_item():
    other = Places(before=np.array([1.0, 0.0, NAN]), tied=np.zeros(3))
    by_text = Places(before=np.array([0.0, 0.0, NAN]), tied=np.array([0.0, 1.0, NAN]))
    found = p.retrieval_measures(FOUND, by_text, other)
    same(found["retrieval@1"], [1, 0, NAN])
    same(found["retrieval@1 extractive"], [0, 1, NAN])
    same(found["retrieval@1 text"], [1, 0.5, NAN])
    same(found["retrieval@1 text - extractive"], [1, -0.5, NAN])
    same(found["retrieval@5"], [1, 1, NAN])
    same(found["reciprocal_rank"], [1, 0.25, NAN])
    same(found["reciprocal_rank text - extractive"], [0.5, 2 / 3 - 1, NAN])


def test_confidences_are_compared_with_those_of_other_keywords():
    own, others = [Confidence(0.75, 0.5), Confidence(NAN, 1.0)], [Confidence(0.25, 0.5), Confidence(0.5, 0.25)]
    same(p.confidence_measures(own)["picture_confidence"], [0.75, NAN])
    found = p.confidences_against(own, others, "others")
    same(found["picture_confidence others"], [0.25, 0.5])
    same(found["picture_confidence - others"], [0.5, NAN])
    same(found["text_confidence - others"], [0, 0.75])


def test_tuning_is_what_it_adds_to_the_draft():
    drafts = keywords(information=[0.25, 0.5, NAN])
    found = p.draft_measures(keywords(), drafts, FOUND, Places(np.array([1.0, 1.0, NAN]), np.zeros(3)))
    same(found["information - draft"], [0.25, -0.25, NAN])
    same(found["reciprocal_rank - draft"], [0.5, -0.25, NAN])


def test_facts_of_pictures_count_where_the_look_is_known_and_apart_where_no_training_showed_it():
    unseen = sorted(HELD_OUT)[0]
    seen = next(look for look in ALL_LOOKS if look not in HELD_OUT and look.colour != unseen.colour)
    words = [[seen.colour, seen.pattern], [unseen.colour, seen.colour], ["red"]]
    table = quality(image_keywords=words)
    found = p.look_measures(table, [True] * 3, {"a": seen, "b": unseen})
    same(found["colour"], [1, 0, NAN])  # 'b' names two colours
    same(found["shape"], [0, 0, NAN])
    same(found["colour, look unseen"], [NAN, 0, NAN])
    same(p.look_measures(table, [False] * 3, {"a": Look("red", "plain", "mug")})["colour"], [NAN] * 3)
    assert p.look_measures(table, [True] * 3, {}) == {}


def test_the_vocabulary_counts_items_not_lines():
    found = p.vocabulary(quality(image_keywords=[["red"], ["mug"], []]))
    assert found == {"distinct_keywords": 2, "keywords_of_one_item": 0.5}  # 'red' is of one item, 'mug' of two


def test_without_keywords_there_is_no_vocabulary():
    found = p.vocabulary(quality(image_keywords=[[]] * 3, text_keywords=[[]] * 3))
    assert found["distinct_keywords"] == 0
    assert np.isnan(found["keywords_of_one_item"])
