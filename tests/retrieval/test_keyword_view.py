import numpy as np
import pytest

from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.retrieval.keyword_view import PROFILE_ITEMS, KeywordView

# Vectors of the plane, by text: the angle in degrees.
ANGLES = {"east": 0, "north": 90, "west": 180, "northeast": 45, "nearly east": 10}


def directions(texts):
    radians = np.deg2rad([ANGLES[text] for text in texts])
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def view(**keywords) -> KeywordView:
    return KeywordView(keywords, directions)


def test_items_come_by_the_cosine_to_the_mean_of_the_history():
    found = view(h1=["east"], h2=["north"], w=["west"], ne=["northeast"], e=["nearly east"])
    # The mean of east and north points northeast: 0, 35 and 135 degrees away.
    assert found.fitting(["w", "e", "ne"], [["h1", "h2"], ["h1"]], 3) == [["ne", "e", "w"], ["e", "ne", "w"]]
    assert found.fitting(["w", "e", "ne"], [["h1", "h2"]], 1) == [["ne"]]


def test_only_the_last_items_make_the_profile():
    history = ["h2"] * 30 + ["h1"] * PROFILE_ITEMS
    found = view(h1=["east"], h2=["north"], n=["north"], e=["east"])
    assert found.fitting(["n", "e"], [history, history[:-1]], 2) == [["e", "n"], ["e", "n"]]
    assert found.fitting(["n", "e"], [["h1"] * 30 + ["h2"] * PROFILE_ITEMS], 1) == [["n"]]


def test_equal_items_are_ordered_by_id():
    assert view(h=["east"], b=["north"], a=["north"]).fitting(["b", "a"], [["h"]], 2) == [["a", "b"]]


def test_without_keywords_nothing_is_found():
    found = view(h=["east"], a=["north"], bare=[], blank=[" "])
    assert found.fitting(["bare", "blank", "unknown"], [["h"]], 2) == [[]]
    assert found.fitting(["a", "bare"], [["bare"], [], ["unknown"], ["h"]], 2) == [[], [], [], ["a"]]
    assert found.fitting([], [["h"]], 2) == [[]]


def test_each_text_is_embedded_once_in_one_call():
    calls = []

    def counted(texts):
        calls.append(list(texts))
        return directions(texts)

    found = KeywordView({"h": ["east"], "h2": ["east"], "a": ["north"], "other": ["west"]}, counted)
    found.fitting(["a"], [["h"], ["h2"], ["h", "h2"]], 1)
    assert calls == [["east", "north"]]


@pytest.mark.weights
def test_meaning_counts_and_not_only_equal_words():
    keywords = {"h": ["red mug", "tea"], "cup": ["crimson cup", "coffee"], "drill": ["power drill", "workshop"]}
    found = KeywordView(keywords, SentenceEncoder().encode)
    assert found.fitting(["drill", "cup"], [["h"]], 2) == [["cup", "drill"]]
