import pytest

from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.recommendation.evidence import BLANK, WORDS, evidence_line, usual_keywords, without_evidence


def test_slots_are_said_in_the_order_that_is_asked_for_and_no_other():
    classes = [9, 8, 7, 6, 5, 4, 3, 0, 1]
    assert evidence_line(SLOTS, classes) == "seq9 co8 next7 votes6 taste5 near4 kw3 pop0 all1"
    assert evidence_line(("keywords", "sequence"), classes) == "kw3 seq9"
    assert evidence_line((), classes) == ""


def test_a_blank_class_is_a_dash():
    assert evidence_line(SLOTS, [BLANK, *[0] * 7, BLANK]) == "seq- co0 next0 votes0 taste0 near0 kw0 pop0 all-"


def test_classes_of_fewer_slots_than_there_are_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        evidence_line(("sequence",), [9])


@pytest.mark.parametrize("word", WORDS.values())
@pytest.mark.parametrize("value", "0123456789-")
def test_every_word_of_evidence_is_taken_out(word, value):
    said = f"{word}{value}"
    for text in (said, said.upper(), f"({said})", f"{said}, {said}", f"{word}-{said}", f"{word}-{word}-{said}"):
        assert word not in without_evidence(f"Mug {text} blue").lower()


@pytest.mark.parametrize(
    "text", ["co-op next-day pop-up 2 seq", "kw12 seq99", "economics 9", "Taste 9 lives", "nearly7", "", "votes 4"]
)
def test_other_words_stay(text):
    assert without_evidence(text) == text


def test_usual_keywords_need_two_items_and_come_by_how_far_they_exceed_the_catalogue():
    words = {"a": ["x", "y", "z"], "b": ["x", "y", "y"], "c": ["x", "w"]}
    shares = {"x": 0.9, "y": 0.1, "w": 0.0, "z": 0.0}
    assert usual_keywords(["a", "b", "c"], words, shares, 5) == ("y", "x")
    assert usual_keywords(["a", "b", "c"], words, shares, 1) == ("y",)
    assert usual_keywords(["a", "b", "c"], words, {"x": 1.0, "y": 0.7}, 5) == ()
    assert usual_keywords([], words, shares, 5) == ()
