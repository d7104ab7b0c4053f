from hypothesis import given
from hypothesis import strategies as st

from mmsra_pipeline.summarization.pseudo import MAX_WORDS, STOP_WORDS, pseudo_keywords


def test_words_that_other_texts_share_come_before_those_of_one_text_alone():
    # 'wool' stands in two of three texts, 'zanzibar' in one: rarer, but it joins the item to no other
    found = pseudo_keywords(["zanzibar. wool", "wool", "oak"], count=1)
    assert found == [["wool"], ["wool"], ["oak"]]


def test_of_shared_words_the_rarer_and_the_oftener_written_come_first():
    # idf: wool ln(5/3) + 1 = 1.51, oak ln(5/4) + 1 = 1.22; in the fourth text oak counts twice: 2.45
    found = pseudo_keywords(["oak. wool", "oak. wool", "oak", "oak. wool. oak"], count=1)
    assert found[0] == ["wool"]
    assert found[3] == ["oak"]


def test_neighbours_become_one_keyword_and_a_stop_ends_it():
    texts = ["hand made mug. Oak lid", "hand made mug", "oak lid"]
    assert pseudo_keywords(texts, count=5)[0] == ["hand", "mug", "oak lid"]  # 'made' says nothing


def test_a_part_of_another_keyword_is_left_out():
    assert pseudo_keywords(["red mug. a mug", "red mug"], count=5)[0] == ["red mug"]


def test_equal_words_stay_in_the_order_of_the_text():
    assert pseudo_keywords(["oak. wool. tin"], count=2) == [["oak", "wool"]]


def test_a_text_that_says_nothing_has_no_keywords():
    assert pseudo_keywords(["", "The of 1995", "x" * 40], count=3) == [[], [], []]


words = st.sampled_from(["red", "mug", "oak", "the", "wool", ".", ",", "of", "1995", "lid"])


@given(st.lists(st.lists(words, max_size=12).map(" ".join), min_size=1, max_size=4), st.integers(1, 4))
def test_keywords_stand_in_their_text_and_keep_the_bounds(texts, count):
    for text, keywords in zip(texts, pseudo_keywords(texts, count=count)):
        assert len(keywords) <= count
        assert len(set(keywords)) == len(keywords)
        for keyword in keywords:
            assert keyword in text
            assert 1 <= len(keyword.split()) <= MAX_WORDS
            assert not set(keyword.split()) & STOP_WORDS
