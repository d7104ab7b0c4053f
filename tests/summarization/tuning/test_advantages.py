import numpy as np
import pytest

from mmsra_pipeline.config.tree import GrpoConfig, RewardWeights
from mmsra_pipeline.summarization.tuning.advantages import SMALLEST_SPREAD, advantages, gated, standardized, weights_at

NOTHING = dict.fromkeys(RewardWeights.model_fields, 0.0)
SPOKEN = np.zeros((1, 4), bool)


def weights(**some):
    return RewardWeights(**(NOTHING | some))


def one_group(terms, shares, empty=SPOKEN, **settings):
    found, flat = advantages(
        {name: np.array([values]) for name, values in terms.items()}, empty, shares, GrpoConfig(**settings)
    )
    return found[0], flat.tolist()


@pytest.mark.parametrize("term", ["information", "reconstruction", "length", "grounding", "repetition", "cut_off"])
def test_each_term_alone_orders_summaries_by_its_value(term):
    values = [-0.9, -0.1, -0.5, -0.3]
    terms = {"information": [0.0] * 4} | {term: values}
    found, flat = one_group(terms, weights(**{term: 1.0}), length_gate=None)
    assert np.argsort(found).tolist() == np.argsort(values).tolist()
    assert found.sum() == pytest.approx(0.0)
    assert flat == [False]


def test_terms_of_any_scale_have_the_same_say_by_default_and_the_large_one_all_of_it_as_printed():
    terms = {"information": [0.1, 0.2, 0.3, 0.4], "reconstruction": [-100.0, -300.0, -500.0, -700.0]}
    shares = weights(information=2.0, reconstruction=1.0)
    ours, _ = one_group(terms, shares)
    assert np.argsort(ours).tolist() == [0, 1, 2, 3]
    printed, _ = one_group(terms, shares, aggregation="sum_then_normalize")
    assert np.argsort(printed).tolist() == [3, 2, 1, 0]


def test_sum_then_normalize_is_the_weighted_sum_in_standard_deviations_of_the_group():
    terms = {"information": [0.0, 1.0, 2.0, 3.0], "length": [-2.0, -2.0, -2.0, -4.0]}
    found, _ = one_group(
        terms, weights(information=1.0, length=0.5), aggregation="sum_then_normalize", length_gate=None
    )
    summed = np.array([-1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(found, (summed - 0.25) / (summed.std(ddof=1) + 1e-4))


def test_an_answer_without_a_keyword_is_one_below_the_least_and_leaves_the_scale_alone():
    values, empty = np.array([[1.0, 3.0, -10_000.0, 2.0]]), np.array([[False, False, True, False]])
    found = standardized(values, empty)[0]
    np.testing.assert_allclose(found[[0, 1, 3]] * (1 + SMALLEST_SPREAD), [-1.0, 1.0, 0.0])
    assert found[2] == pytest.approx(found[0] - 1.0)


def test_a_group_that_says_nothing_or_the_same_has_no_advantage():
    assert standardized(np.full((1, 4), -7.0), np.ones((1, 4), bool)).tolist() == [[0.0] * 4]
    found, flat = one_group({"information": [0.3] * 4}, weights(information=1.0))
    assert found.tolist() == [0.0] * 4
    assert flat == [True]


def test_a_spread_of_a_thousandth_is_not_blown_up():
    found = standardized(np.array([[0.5, 0.501, 0.5, 0.501]]), SPOKEN)
    assert np.abs(found).max() < 0.1


def test_shortness_counts_for_summaries_that_say_enough_alone():
    easy, hard = np.array([[-1.0, -2.0, -6.0, -3.0]]), np.array([[0.1, 0.9, 0.8, 0.2]])
    assert gated(easy, hard, SPOKEN, 0.5).tolist() == [[-6.0, -2.0, -6.0, -6.0]]
    assert gated(easy, hard, SPOKEN, 0.0).tolist() == easy.tolist()
    # summaries without keywords do not lower the bar
    silent = np.array([[False, False, True, True]])
    assert gated(easy, np.array([[0.1, 0.9, -1.0, -1.0]]), silent, 0.5).tolist() == [[-6.0, -2.0, -6.0, -6.0]]


def test_the_gate_makes_saying_little_a_loss():
    terms = {"information": [0.1, 0.6, 0.7, 0.8], "length": [-1.0, -8.0, -8.0, -7.0]}
    shares = weights(length=1.0)
    assert one_group(terms, shares, length_gate=None)[0].argmax() == 0
    assert one_group(terms, shares, length_gate=0.5)[0].argmax() == 3


def test_penalties_are_summed_as_they_are():
    terms = {"information": [0.1, 0.2, 0.3, 0.4], "repetition": [0.0, 0.0, 0.0, -0.1]}
    found, _ = one_group(terms, weights(information=1.0, repetition=1.0))
    assert found.argmax() == 3  # standardized, the one slip would count 1.5 and make it the worst but one


def test_groups_are_compared_within_themselves():
    terms = {"information": np.array([[0.1, 0.2], [0.8, 0.9]])}
    found, flat = advantages(terms, np.zeros((2, 2), bool), weights(information=1.0), GrpoConfig())
    np.testing.assert_allclose(found[0], found[1])
    assert flat.tolist() == [False, False]


def test_form_may_come_before_content():
    grpo = GrpoConfig(steps=10, form_first=0.3)
    early, late = weights_at(2, grpo), weights_at(3, grpo)
    assert (early.information, early.reconstruction, early.grounding) == (0.0, 0.0, 0.0)
    assert early.length == grpo.weights.length
    assert late == grpo.weights
    assert weights_at(0, GrpoConfig()) == GrpoConfig().weights
