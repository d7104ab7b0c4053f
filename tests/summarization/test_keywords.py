import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsra_pipeline.config import SummarizationConfig
from mmsra_pipeline.summarization.keywords import Summary, format_summary, parse_summary

CONFIG = SummarizationConfig(max_keywords=3, max_keyword_words=2)


def test_both_lines_are_read_apart():
    summary = parse_summary("Image: red, striped, Mug\nText: ceramic, dishwasher safe", CONFIG)
    assert summary == Summary(("red", "striped", "mug"), ("ceramic", "dishwasher safe"), well_formed=True)
    assert summary.keywords == ("red", "striped", "mug", "ceramic", "dishwasher safe")


def test_none_stands_for_a_modality_that_is_not_there():
    assert parse_summary("Image: none\nText: ceramic", CONFIG) == Summary((), ("ceramic",), well_formed=True)


def test_a_keyword_of_both_lines_counts_once():
    assert parse_summary("Image: mug\nText: mug, red", CONFIG).keywords == ("mug", "red")


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        ("", ()),
        ("A lovely mug for your kitchen", ()),
        ("Image: red", ("red",)),  # the second line is missing
        ("Image: red, red\nText: mug", ("red", "mug")),  # a repeat
        ("Image: red\nText: a copied sentence is no keyword", ("red",)),
        ("Image: a, b, c, d\nText: mug", ("a", "b", "c", "mug")),  # one too many
        ("Image: red, none\nText: mug", ("red", "mug")),
        ("Image: red,, \nText: mug", ("red", "mug")),
        ("Text: mug\nImage: red", ()),  # the wrong order
    ],
)
def test_what_has_not_the_form_is_not_well_formed_and_keeps_only_keywords(completion, kept):
    summary = parse_summary(completion, CONFIG)
    assert not summary.well_formed
    assert summary.keywords == kept


@given(st.text(max_size=200))
def test_no_text_breaks_the_bounds(completion):
    summary = parse_summary("Image: " + completion, CONFIG)
    for line in (summary.image_keywords, summary.text_keywords):
        assert len(line) <= 3
        assert len(set(line)) == len(line)
        assert all(keyword.strip() == keyword != "" for keyword in line)


words = st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), unique=True, max_size=3)


@given(words, words)
def test_what_is_written_in_the_form_is_read_back(image, text):
    image, text = ([word for word in line if word != "none"] for line in (image, text))
    assert parse_summary(format_summary(image, text), CONFIG) == Summary(tuple(image), tuple(text), well_formed=True)
