import itertools

import numpy as np
import pytest
import sklearn.metrics

from mmsra_pipeline.evaluation.metrics import Placed, PooledAuc, auc_user, hr, mrr, ndcg, placed


def at(higher: int, equal: int, negatives: int = 20) -> Placed:
    return Placed(np.array([higher]), np.array([equal]), np.array([negatives]))


def test_a_scorer_that_says_the_same_of_all_earns_exactly_what_chance_earns():
    same = at(0, 20)
    assert hr(same, 5)[0] == pytest.approx(5 / 21)  # 23.81 %
    assert 100 * hr(same, 5)[0] == pytest.approx(23.81, abs=0.005)
    discounts = 1 + 1 / np.log2(3) + 1 / 2 + 1 / np.log2(5) + 1 / np.log2(6)
    assert ndcg(same, 5)[0] == pytest.approx(discounts / 21)
    assert 100 * ndcg(same, 5)[0] == pytest.approx(14.04, abs=0.005)
    assert mrr(same, 5)[0] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 21)
    assert auc_user(same)[0] == 0.5


def test_random_scores_earn_what_chance_earns():
    generator = np.random.default_rng(0)
    lists, is_target = np.repeat(np.arange(10_000), 21), np.tile(np.arange(21) == 0, 10_000)
    scores = generator.random(len(lists))
    found = placed(lists, is_target, scores)
    assert 100 * hr(found, 5).mean() == pytest.approx(23.81, abs=1.7)  # 4 standard errors
    assert 100 * ndcg(found, 5).mean() == pytest.approx(14.04, abs=1.2)
    assert 100 * auc_user(found).mean() == pytest.approx(50, abs=1.2)
    assert 100 * PooledAuc(lists, is_target, scores).value(np.ones((1, 10_000)))[0] == pytest.approx(50, abs=1.2)


@pytest.mark.parametrize(
    ("higher", "equal", "expected"),
    [
        # rank 1: everything
        (0, 0, (1, 1, 1)),
        # rank 5, the last place that counts; rank 6, the first that does not
        (4, 0, (1, 1 / np.log2(6), 1 / 5)),
        (5, 0, (0, 0, 0)),
        # ranks 4, 5, 6 with a third each
        (3, 2, (2 / 3, (1 / np.log2(5) + 1 / np.log2(6)) / 3, (1 / 4 + 1 / 5) / 3)),
        # ranks 1, 2 with a half each
        (0, 1, (1, (1 + 1 / np.log2(3)) / 2, (1 + 1 / 2) / 2)),
    ],
)
def test_metrics_equal_hand_worked_fractions(higher, equal, expected):
    found = tuple(metric(at(higher, equal), 5)[0] for metric in (hr, ndcg, mrr))
    assert found == pytest.approx(expected)


def test_ties_are_the_mean_over_all_orders_of_the_tied():
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.1])  # the positive is the first: one higher, two equal
    found = placed(np.zeros(5, dtype=np.int64), np.arange(5) == 0, scores)
    outcomes = []
    for order in itertools.permutations(range(5)):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            rank = order.index(0) + 1
            outcomes.append((rank <= 2, 1 / np.log2(rank + 1) if rank <= 2 else 0, 1 / rank if rank <= 2 else 0))
    assert len(outcomes) == 6
    mine = [metric(found, 2)[0] for metric in (hr, ndcg, mrr)]
    assert mine == pytest.approx(np.mean(outcomes, axis=0))


def test_the_place_of_the_positive_in_the_list_means_nothing():
    scores = np.zeros(21)
    for place in (0, 10, 20):
        found = placed(np.zeros(21, dtype=np.int64), np.arange(21) == place, scores)
        assert hr(found, 5)[0] == pytest.approx(5 / 21)


def random_lists(users: int = 30, seed: int = 0, ties: bool = True):
    generator = np.random.default_rng(seed)
    lists = np.repeat(np.arange(users), 21)
    is_target = np.concatenate([generator.permutation(21) == 0 for _ in range(users)])
    scores = generator.normal(size=len(lists)) + is_target + generator.normal(size=users)[lists]
    return lists, is_target, np.round(scores, 1) if ties else scores


@pytest.mark.slow  # ranx compiles itself on first use
def test_without_ties_metrics_agree_with_ranx():
    from ranx import Qrels, Run, evaluate

    lists, is_target, scores = random_lists(ties=False)
    names = [f"c{place}" for place in range(21)]
    qrels = Qrels({f"q{u}": {n: 1 for n, t in zip(names, is_target[lists == u]) if t} for u in range(30)})
    run = Run({f"q{u}": dict(zip(names, scores[lists == u])) for u in range(30)})
    found = placed(lists, is_target, scores)
    assert hr(found, 5).mean() == pytest.approx(evaluate(qrels, run, "hit_rate@5"))
    assert ndcg(found, 5).mean() == pytest.approx(evaluate(qrels, run, "ndcg@5"))
    assert mrr(found, 5).mean() == pytest.approx(evaluate(qrels, run, "mrr@5"))


def test_without_ties_ndcg_agrees_with_scikit_learn():
    lists, is_target, scores = random_lists(ties=False)
    expected = sklearn.metrics.ndcg_score(is_target.reshape(30, 21), scores.reshape(30, 21), k=5)
    assert ndcg(placed(lists, is_target, scores), 5).mean() == pytest.approx(expected)


def test_auc_agrees_with_scikit_learn_pooled_and_per_user_under_ties():
    lists, is_target, scores = random_lists()
    pooled = PooledAuc(lists, is_target, scores).value(np.ones((1, 30)))[0]
    assert pooled == pytest.approx(sklearn.metrics.roc_auc_score(is_target, scores))
    own = [sklearn.metrics.roc_auc_score(is_target[lists == u], scores[lists == u]) for u in range(30)]
    np.testing.assert_allclose(auc_user(placed(lists, is_target, scores)), own)
    assert pooled != pytest.approx(np.mean(own), abs=0.01)  # users' scores are offset: the two are not the same


@pytest.mark.parametrize("squared", [0, 3000])
def test_weighted_pooled_auc_is_that_of_repeated_lists(monkeypatch, squared):
    monkeypatch.setattr("mmsra_pipeline.evaluation.metrics.SQUARE_LISTS", squared)
    lists, is_target, scores = random_lists(users=6)
    weights = np.array([[2, 0, 1, 3, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 6, 0]])
    found = PooledAuc(lists, is_target, scores).value(weights.astype(float))
    for row, counts in enumerate(weights):
        repeated = np.repeat(np.arange(len(lists)), counts[lists])
        expected = sklearn.metrics.roc_auc_score(is_target[repeated], scores[repeated])
        assert found[row] == pytest.approx(expected)


def test_both_ways_to_the_pooled_auc_agree_also_for_lists_of_mixed_rows_and_length(monkeypatch):
    lists, is_target, scores = random_lists()
    kept = is_target | (np.random.default_rng(1).random(len(lists)) < 0.6)
    order = np.random.default_rng(2).permutation(np.flatnonzero(kept))
    weights = np.random.default_rng(3).integers(0, 4, (50, 30)).astype(float)
    auc = PooledAuc(lists[order], is_target[order], scores[order])
    square = auc.value(weights)
    monkeypatch.setattr("mmsra_pipeline.evaluation.metrics.SQUARE_LISTS", 0)
    np.testing.assert_allclose(auc.value(weights), square, rtol=1e-12)


def test_ndcg_lies_between_its_bounds():
    found = placed(*random_lists(seed=3))
    assert (ndcg(found, 5) <= hr(found, 5) + 1e-12).all()
    assert (ndcg(found, 5) >= hr(found, 5) / np.log2(6) - 1e-12).all()


@pytest.mark.parametrize("is_target", [[True, True, False], [False, False, False], [True, False, True]])
def test_lists_without_exactly_one_positive_are_refused(is_target):
    with pytest.raises(ValueError, match="needs exactly one positive and at least one negative"):
        placed(np.zeros(3, dtype=np.int64), np.array(is_target), np.zeros(3))


def test_minus_infinity_is_a_score_like_any_other():
    found = placed(np.zeros(3, dtype=np.int64), np.array([True, False, False]), np.array([-np.inf, -np.inf, 0.0]))
    assert (found.higher[0], found.equal[0]) == (1, 1)


def test_a_thousand_random_lists_with_ties_agree_with_scikit_learn():
    generator = np.random.default_rng(11)
    lists, is_target = np.repeat(np.arange(1000), 21), np.tile(np.arange(21) == 0, 1000)
    scores = generator.integers(0, 6, len(lists)).astype(float)
    found = placed(lists, is_target, scores)
    assert (found.equal > 0).mean() > 0.9
    ndcgs = [sklearn.metrics.ndcg_score(is_target[None, :21], own[None], k=5) for own in scores.reshape(1000, 21)]
    np.testing.assert_allclose(ndcg(found, 5), ndcgs, atol=1e-12)
    aucs = [sklearn.metrics.roc_auc_score(is_target[:21], own) for own in scores.reshape(1000, 21)]
    np.testing.assert_allclose(auc_user(found), aucs, atol=1e-12)
    # HR@5 under ties, as the precision of the five highest where the tied share the places that are left
    hits = []
    for own in scores.reshape(1000, 21):
        above, same = (own[1:] > own[0]).sum(), (own[1:] == own[0]).sum() + 1
        hits.append(min(max(5 - above, 0), same) / same)
    np.testing.assert_allclose(hr(found, 5), hits, atol=1e-12)
