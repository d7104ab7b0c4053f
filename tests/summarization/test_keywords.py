import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.summarization.keywords import Summary, count_words, format_summary, parse_summary, summary_pattern

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


@pytest.mark.parametrize(
    ("keyword", "count"), [("hand-made mug", 2), ("don't", 1), ("a&b", 1), ("a/b", 2), ("हिन्दी", 1)]
)
def test_joiners_and_accents_part_no_word(keyword, count):
    assert count_words(keyword) == count
    config = SummarizationConfig(max_keyword_words=count)
    assert parse_summary(f"Image: {keyword}\nText: none", config).well_formed


@pytest.mark.parametrize("inputs", [(True, True), (True, False), (False, True), (False, False)])
def test_the_pattern_lets_summaries_through_and_little_else(inputs):
    image, text = inputs
    pattern = re.compile(summary_pattern(CONFIG, image=image, text=text))
    assert pattern.fullmatch(format_summary(["rot", "hand-made größe"][: 2 * image], ["ab5", "漢字"][: 2 * text]))
    for refused in ("a.", "a, b, c, d", "a b c", "", "a\u202eb", "a,b", "-a", "a--b"):
        for lines in ((refused, "mug" if text else "none"), ("mug" if image else "none", refused)):
            assert not pattern.fullmatch("Image: {}\nText: {}".format(*lines))
    assert not pattern.fullmatch("Image: a")
    assert bool(pattern.fullmatch("Image: none\nText: mug, cup")) == text  # 'none' is a word like others to a pattern
    assert bool(pattern.fullmatch("Image: mug\nText: none")) == image


words = st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), unique=True, max_size=3)


@given(words, words)
def test_what_is_written_in_the_form_is_read_back(image, text):
    image, text = ([word for word in line if word != "none"] for line in (image, text))
    assert parse_summary(format_summary(image, text), CONFIG) == Summary(tuple(image), tuple(text), well_formed=True)
