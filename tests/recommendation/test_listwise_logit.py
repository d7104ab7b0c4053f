import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from mmsra_pipeline.recommendation.listwise_logit import ListwiseLogit


def drawn_lists(lists: int = 200, seed: int = 0):
    """Lists of 2 to 9 candidates in mixed order, drawn by known coefficients."""
    generator = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(lists), generator.integers(2, 10, lists))
    features = generator.normal(size=(len(numbers), 3))
    scores = features @ np.array([1.0, -0.5, 0.0]) + generator.gumbel(size=len(numbers))
    is_target = scores == np.array([scores[numbers == number].max() for number in range(lists)])[numbers]
    order = generator.permutation(len(numbers))
    return features[order], numbers[order], is_target[order]


def loss(found, features, numbers, is_target, weights, regularization):
    scores = features @ found
    total = sum(
        weight * (logsumexp(scores[numbers == number]) - scores[(numbers == number) & is_target][0])
        for number, weight in enumerate(weights)
    )
    return total + regularization / 2 * found @ found


def test_the_fit_is_the_minimum_that_a_general_optimizer_finds():
    features, numbers, is_target = drawn_lists(lists=60)
    weights = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    found = ListwiseLogit(features, numbers, is_target).fit(2.0, weights)
    expected = minimize(loss, np.zeros(3), (features, numbers, is_target, weights, 2.0), method="BFGS", tol=1e-9)
    np.testing.assert_allclose(found, expected.x, atol=1e-5)


def test_planted_coefficients_come_back():
    found = ListwiseLogit(*drawn_lists(lists=3000)).fit(1.0)
    np.testing.assert_allclose(found, [1.0, -0.5, 0.0], atol=0.1)


def test_a_list_that_counts_twice_is_as_two_lists_and_a_warm_start_ends_at_the_same_place():
    features, numbers, is_target = drawn_lists(lists=40)
    logit = ListwiseLogit(features, numbers, is_target)
    twice = ListwiseLogit(
        np.concatenate([features, features]), np.concatenate([numbers, numbers + 40]), np.tile(is_target, 2)
    )
    doubled = logit.fit(1.0, np.full(40, 2.0))
    np.testing.assert_allclose(doubled, twice.fit(1.0), atol=1e-9)
    np.testing.assert_allclose(logit.fit(1.0, np.full(40, 2.0), start=np.array([5.0, 5.0, -5.0])), doubled, atol=1e-6)


def test_a_feature_that_parts_the_lists_perfectly_stays_finite():
    features = np.array([[1.0], [0.0], [2.0], [0.0]])
    found = ListwiseLogit(features, np.array([0, 0, 1, 1]), np.array([True, False, True, False])).fit(1e-4)
    assert 5 < found[0] < 100


def test_a_feature_of_which_nothing_is_known_weighs_exactly_nothing():
    features, numbers, is_target = drawn_lists()
    features[:, 1] = 0.0
    assert ListwiseLogit(features, numbers, is_target).fit(1.0)[1] == 0.0


@pytest.mark.parametrize("is_target", [[True, True], [False, False]])
def test_lists_without_exactly_one_target_are_refused(is_target):
    with pytest.raises(ValueError, match=r"list 0 has [02] targets"):
        ListwiseLogit(np.zeros((2, 1)), np.zeros(2, dtype=np.int64), np.array(is_target))


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="no finite number"):
        ListwiseLogit(np.array([[np.nan], [0.0]]), np.zeros(2, dtype=np.int64), np.array([True, False]))
