import math

import numpy as np
import pytest

from mmsra_pipeline.summarization.keywords import Summary
from mmsra_pipeline.summarization.tuning.rewards import (
    cut_off,
    grounding,
    information,
    length,
    reconstruction,
    repetition,
    title_copy,
)

NOTHING = Summary((), (), False)


def test_information_is_the_cosine_and_no_keyword_earns_the_worst():
    keywords = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0], [0.0, 0.0]], np.float32)
    texts = np.array([[0.0, 1.0]] * 4, np.float32)
    np.testing.assert_allclose(information(keywords, texts), [0.0, 0.8, -1.0, -1.0], atol=1e-6)


def test_without_a_text_information_tells_summaries_apart_only_by_being_there():
    keywords = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], np.float32)
    assert information(keywords, np.zeros((3, 2), np.float32)).tolist() == [0.0, 0.0, -1.0]


def test_reconstruction_is_minus_the_perplexity_per_token():
    found = reconstruction([np.log([0.5, 0.125]), np.log([1e-9]), np.zeros(0), np.log([0.9])], [False] * 3 + [True])
    # 1 / sqrt(0.5 * 0.125) = 4; bounded; nothing to reconstruct; no keyword
    np.testing.assert_allclose(found, [-4.0, -10_000.0, 0.0, -10_000.0], rtol=1e-6)


def test_reconstruction_may_be_minus_the_logarithm_of_the_perplexity():
    rows = [np.log([0.5, 0.125]), np.log([1e-9]), np.zeros(0), np.log([0.9])]
    found = reconstruction(rows, [False] * 3 + [True], scale="log_perplexity")
    np.testing.assert_allclose(found, [-math.log(4), -math.log(10_000), 0.0, -math.log(10_000)], rtol=1e-6)


def test_a_summary_without_keywords_is_worse_than_the_longest_one():
    rewards = length([1, 10, 0], most=10)
    assert rewards.tolist() == [-1.0, -10.0, -11.0]
    assert rewards.argmin() == 2


def test_grounding_is_the_gain_of_the_picture_per_token():
    seen = [np.array([-1.0, -1.0]), np.array([-1.0]), np.array([-1.0]), np.array([-1.0])]
    blank = [np.array([-2.0, -3.0]), np.array([-90.0]), np.array([-3.0]), np.array([-3.0])]
    found = grounding(seen, blank, empty=[False, False, True, False], pictured=[True, True, True, False])
    assert found.tolist() == [1.5, 5.0, -5.0, 0.0]


def test_a_word_that_comes_again_in_another_keyword_costs_its_share():
    again = Summary(("red mug", "red bag"), ("Red",), True)  # red mug, red bag, red: two of five words
    both = Summary(("red mug",), ("red mug", "clay"), True)  # one keyword of both lines
    assert repetition([again, both, NOTHING]).tolist() == pytest.approx([-0.4, 0.0, -1.0])


def test_copying_the_title_costs_the_share_of_text_keywords_that_stand_in_it():
    title = "Dunmore Red Ceramic Mug"
    whole = Summary(("red",), ("red ceramic", "mug"), True)
    half = Summary((), ("ceramic mug", "mug red"), True)  # the second has its words in another order
    part = Summary((), ("cera", "kitchen"), True)
    found = title_copy([whole, half, part, Summary(("red",), (), True), NOTHING], [title] * 5)
    assert found.tolist() == [-1.0, -0.5, 0.0, 0.0, -1.0]
    assert title_copy([whole], [" "]).tolist() == [0.0]


def test_a_completion_without_an_end_costs_all():
    assert cut_off([True, False, True], [False, False, True]).tolist() == [0.0, -1.0, -1.0]


@pytest.mark.parametrize("term", ["information", "reconstruction", "log_perplexity", "length", "grounding"])
def test_saying_nothing_earns_the_least_of_every_term(term):
    if term == "information":
        values = information(np.array([[1.0, 0], [0, 0]], np.float32), np.array([[-1.0, 0], [1, 0]], np.float32))
    elif term == "reconstruction":
        values = reconstruction([np.array([-50.0]), np.array([-0.1])], [False, True])
    elif term == "log_perplexity":
        values = reconstruction([np.array([-50.0]), np.array([-0.1])], [False, True], scale="log_perplexity")
    elif term == "length":
        values = length([20, 0], most=20)
    else:
        values = grounding([np.array([-50.0]), np.array([0.0])], [np.zeros(1)] * 2, [False, True], [True, True])
    assert values[1] <= values[0]
