from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.lists import draw_candidates
from mmsra_pipeline.evaluation.metrics import hr, placed
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.popularity import popularity
from mmsra_pipeline.sample_store import behaviour
from mmsra_pipeline.sample_store.ceiling import ceiling_scores, taste_scores
from mmsra_pipeline.sample_store.shop import Shop, make_shop

ITEMS = ["a", "b", "c", "d", "new"]
PARTNER = {"a": "b", "b": "a"}
ATTRIBUTES = [*behaviour.VISIBLE, *behaviour.TEXTUAL]


def one_users_shop(bought: list[str], **products) -> Shop:
    """A shop of five products, of which 'new' is not on sale; its user likes red and wool, and took ``bought``."""
    columns = {
        "item_id": ITEMS,
        "colour": ["red", "blue", "green", "red", "red"],
        "pattern": ["plain"] * 5,
        "shape": ["mug", "bag", "bag", "mug", "mug"],
        "material": ["oak", "wool", "oak", "glass", "wool"],
        "use": ["party"] * 5,
        "brand": ["Brontes"] * 5,
        "popularity": [0.0, 0.2, 0.5, -0.4, 9.0],
        "is_new": [False] * 4 + [True],
    }
    taste = dict.fromkeys(ATTRIBUTES, "") | {"main": "colour", "colour": "red", "minor": "material", "material": "wool"}
    users = pd.DataFrame([{"user_id": "u", "cares_for": "both", **taste}])
    companions = pd.DataFrame(list(PARTNER.items()), columns=["item_id", "companion_id"])
    events = pd.DataFrame({"user_id": "u", "item_id": bought, "timestamp": range(len(bought))})
    return Shop(pd.DataFrame(columns | products), users, companions, events, seed=0)


def ask(history, items=ITEMS, position=None):
    place = len(history) if position is None else position
    queries = pd.DataFrame({"user_id": ["u"], "position": [place], "history": [history]})
    return queries, pd.DataFrame({"user_id": "u", "position": place, "item_id": items})


def test_scores_are_the_logarithms_of_how_often_the_shop_sells_it_next():
    """Against sales by the shop's own hand: after each first two purchases, which is third."""
    runs = 40_000
    # So that each is likely enough to be counted: with taste 1.3, 1.0, 0.5 and 0.5.
    shop = one_users_shop(ITEMS[:4], popularity=[-3.7, -2.0, 0.5, -4.5, 9.0])
    utility = behaviour.utilities(shop.users, shop.products)[0]
    partner = {ITEMS.index(one): ITEMS.index(other) for one, other in PARTNER.items()}
    rng = np.random.default_rng(0)
    sold = [
        tuple(ITEMS[place] for place, _ in behaviour._purchases(utility, partner, np.arange(4), 3, rng))
        for _ in range(runs)
    ]
    for length in (0, 1, 2):
        begun = Counter(sequence[:length] for sequence in sold)
        gone_on = Counter(sequence[: length + 1] for sequence in sold)
        for history, times in begun.items():
            own = replace(shop, events=one_users_shop([*history, *(set(ITEMS[:4]) - {*history})]).events)
            expected = np.exp(ceiling_scores(own, *ask(list(history))))
            found = np.array([gone_on[(*history, item)] for item in ITEMS]) / times
            assert times > 500
            assert (np.abs(found - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / times) + 1e-12).all()


def test_the_companion_is_likelier_while_it_is_left_and_only_after_its_own_product():
    shop = one_users_shop(["a", "c", "b", "d"])
    taste, whole = taste_scores(shop, *ask(["a"])), ceiling_scores(shop, *ask(["a"]))
    share = np.exp(taste[1])
    assert np.exp(whole[1]) == pytest.approx(0.6 + 0.4 * share)
    np.testing.assert_allclose(np.exp(whole[2:4]), 0.4 * np.exp(taste[2:4]))
    for history in (["a", "c"], ["a", "c", "b"]):  # 'c' has no companion; that of 'b' is taken
        np.testing.assert_array_equal(
            ceiling_scores(shop, *ask(history)), taste_scores(shop, *ask(history))
        )  # fmt: skip


def test_taste_is_the_softmax_of_utilities_over_what_is_left():
    shop = one_users_shop(["c", "a"])
    utility = np.array([5.0, 0.2 + 3.0, 0.5, -0.4 + 5.0, 0.0])  # red is liked with 5, wool with 3
    left = np.exp(utility[[0, 1, 3]])
    scores = taste_scores(shop, *ask(["c"]))
    np.testing.assert_allclose(np.exp(scores), [*(left / left.sum())[:2], 0.0, (left / left.sum())[2], 0.0])
    assert scores.dtype == np.float64
    assert scores[2] == scores[4] == -np.inf


def test_very_different_utilities_do_not_run_over():
    shop = one_users_shop(["c", "a"], popularity=[2000.0, 0.0, 0.0, -2000.0, 0.0])
    scores = taste_scores(shop, *ask(["c"]))
    assert scores[0] == pytest.approx(0.0)
    assert -4100 < scores[3] < -3900


def test_what_is_cut_off_a_history_counts_as_taken():
    shop = one_users_shop(["c", "d", "a", "b"])
    whole = ceiling_scores(shop, *ask(["c", "d", "a"]))
    np.testing.assert_array_equal(ceiling_scores(shop, *ask(["a"], position=3)), whole)
    np.testing.assert_array_equal(np.exp(whole), [0.0, 1.0, 0.0, 0.0, 0.0])


def test_each_row_gets_its_own_score_in_whatever_order_it_is_asked():
    shop = make_shop("tiny", 0)
    queries = last_queries(shop.events)
    candidates = queries[["user_id", "position"]].merge(shop.products[["item_id"]], how="cross")
    shuffled = candidates.sample(frac=1, random_state=0)
    for scorer in (ceiling_scores, taste_scores):
        scores = pd.Series(scorer(shop, queries, candidates), index=candidates.index)
        again = pd.Series(scorer(shop, queries.iloc[::-1], shuffled), index=shuffled.index)
        pd.testing.assert_series_equal(again.sort_index(), scores)
        np.testing.assert_allclose(np.exp(scores).groupby(candidates["user_id"]).sum(), 1.0)


@pytest.mark.parametrize(
    ("queries", "candidates", "message"),
    [
        ({"user_id": ["x"]}, {}, "1 of the user ids are not of this shop of 1 users: 'x'"),
        ({}, {"user_id": ["x"]}, "1 of the user ids are not of this shop of 1 users: 'x'"),
        ({}, {"item_id": ["tea"]}, "1 of the item ids are not of this shop of 5 items: 'tea'. Make the shop with"),
        ({"history": [["tea"]]}, {}, "1 of the item ids are not of this shop"),
        ({"history": [["a", "d"]]}, {}, "history of user 'u' ends with 'd', which this user of the shop never took"),
        ({}, {"position": [7]}, "a candidate is of user 'u' at position 7, of which there is no query"),
    ],
)
def test_what_the_shop_does_not_know_is_refused(queries, candidates, message):
    asked, rows = ask(["a"], ["b"])
    with pytest.raises(DataError, match=message):
        ceiling_scores(one_users_shop(["a", "b", "c"]), asked.assign(**queries), rows.assign(**candidates))


def test_two_queries_of_one_user_and_position_are_refused():
    queries, candidates = ask(["a"])
    with pytest.raises(DataError, match="two queries are of user 'u' at position 1"):
        taste_scores(one_users_shop(["a"]), pd.concat([queries, queries]), candidates)


def last_queries(events: pd.DataFrame) -> pd.DataFrame:
    """Each user's last purchase as a test row of ``sequences``."""
    rows = []
    for user, own in events.groupby("user_id"):
        *history, target = own["item_id"]
        rows.append((user, len(history), history, target, int(own["timestamp"].iloc[-1]) * 1000))
    return pd.DataFrame(rows, columns=["user_id", "position", "history", "target", "timestamp"])


def _standardized(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean()) / scores.std()


class Lists:
    """The standard lists of the last purchases of a shop of size ``small``, and HR@5 on them."""

    def __init__(self, seed: int) -> None:
        self.shop = make_shop("small", seed)
        events = self.shop.events.assign(position=self.shop.events.groupby("user_id").cumcount())
        self.queries = last_queries(events)
        length = events.groupby("user_id")["position"].transform("size")
        self.training = events[events["position"] < length - 2].assign(timestamp=lambda rows: rows["timestamp"] * 1000)
        catalogue = sorted(events["item_id"].unique())
        self.candidates = draw_candidates(
            self.queries, self.training, catalogue, EvaluationConfig(), seed, interactions=events
        )
        self.follows = events.groupby("user_id")["by_companion"].last()

    def hits(self, scores: np.ndarray, protocol: str = "uniform") -> pd.Series:
        """HR@5 of each user."""
        rows = (self.candidates["protocol"] == protocol).to_numpy()
        lists, users = pd.factorize(self.candidates["user_id"][rows])
        return pd.Series(hr(placed(lists, self.candidates["is_target"].to_numpy()[rows], scores[rows]), 5), index=users)

    def ceiling(self) -> np.ndarray:
        return ceiling_scores(self.shop, self.queries, self.candidates)

    def taste(self, *hidden: str) -> np.ndarray:
        """Taste, or what is left of it where nobody sees those attributes."""
        products = self.shop.products.assign(**dict.fromkeys(hidden, "unknown"))
        return taste_scores(replace(self.shop, products=products), self.queries, self.candidates)

    def popularity(self) -> np.ndarray:
        return popularity(self.training, self.candidates["item_id"].tolist()).to_numpy(dtype=float)

    def cooccurrence(self) -> np.ndarray:
        index = CooccurrenceIndex.of_training(self.training, 20)
        scores = pd.Series(0.0, index=self.candidates.index)
        asked = self.queries.set_index("user_id")
        for user, rows in self.candidates.groupby("user_id"):
            history, time = asked.loc[user, ["history", "timestamp"]]
            scores[rows.index] = index.score(history, rows["item_id"].tolist(), before=time, exclude_user=user)
        return scores.to_numpy()

    def evidence(self, products: pd.DataFrame | None = None) -> np.ndarray:
        """Of which attribute the history has most more than the catalogue lets expect, in standard deviations."""
        known = (self.shop.products if products is None else products).set_index("item_id")[ATTRIBUTES]
        shares = known.apply(lambda values: values.map(values.value_counts(normalize=True)))
        scores = pd.Series(0.0, index=self.candidates.index)
        histories = self.queries.set_index("user_id")["history"]
        for user, rows in self.candidates.groupby("user_id"):
            history, items = known.loc[histories[user]].to_numpy(), rows["item_id"]
            count, share = len(history), shares.loc[items].to_numpy()
            matching = (known.loc[items].to_numpy()[:, None] == history).sum(axis=1)
            scores[rows.index] = ((matching - count * share) / np.sqrt(count * share * (1 - share))).max(axis=1)
        return scores.to_numpy()


@pytest.fixture(scope="module", params=[0, 1, 2])
def lists(request) -> Lists:
    return Lists(request.param)


def test_the_ceiling_is_high_and_taste_companions_and_others_each_tell_much(lists):
    """HR@5 over 400 users, within 2.5 points or so; chance is 0.24."""
    found = {name: lists.hits(getattr(lists, name)()).mean() for name in ("ceiling", "taste", "popularity")}
    assert 0.91 <= found["ceiling"] <= 0.975
    assert found["taste"] >= 0.76
    assert found["ceiling"] >= found["taste"] + 0.11
    assert 0.34 <= found["popularity"] <= 0.46
    assert found["taste"] >= found["popularity"] + 0.32
    assert found["popularity"] + 0.06 <= lists.hits(lists.cooccurrence()).mean() <= 0.60


def test_popularity_misleads_where_negatives_are_popular_and_the_ceiling_does_not(lists):
    assert lists.hits(lists.popularity(), "popularity").mean() < 0.32
    assert lists.hits(lists.ceiling(), "popularity").mean() >= 0.88
    assert lists.hits(lists.taste(), "popularity").mean() >= 0.72


@pytest.mark.parametrize("protocol", ["uniform", "popularity"])
def test_who_reads_what_a_history_has_in_common_gains_much_on_who_only_counts_others(lists, protocol):
    """Nothing fitted, nothing known of the user: the shop must tell whether a recommender reads content."""
    counted = _standardized(lists.cooccurrence())
    alone = lists.hits(counted, protocol).mean()
    assert lists.hits(counted + _standardized(lists.evidence()), protocol).mean() >= alone + 0.16
    assert lists.hits(lists.evidence(), protocol).mean() >= alone + 0.09
    mixed = lists.shop.products.assign(item_id=np.random.default_rng(0).permutation(lists.shop.products["item_id"]))
    assert lists.hits(counted + _standardized(lists.evidence(mixed)), protocol).mean() <= alone  # content of others


def test_enough_last_purchases_follow_as_companions_to_measure_what_others_context_is_worth(lists):
    assert 0.15 <= lists.follows.mean() <= 0.25
    follows = lists.follows.to_numpy()
    assert lists.hits(lists.ceiling())[follows].mean() == 1.0
    assert lists.hits(lists.taste())[follows].mean() < 0.3  # nothing that is seen or written gives them away
    assert lists.hits(lists.cooccurrence())[follows].mean() > 0.8


@pytest.mark.parametrize(
    ("hidden", "side", "other"), [(behaviour.VISIBLE, "picture", "text"), (behaviour.TEXTUAL, "text", "picture")]
)
def test_blank_pictures_cost_whose_taste_only_pictures_show_and_no_text_the_others(lists, hidden, side, other):
    cares_for = lists.shop.users.set_index("user_id")["cares_for"]
    cost = (lists.hits(lists.taste()) - lists.hits(lists.taste(*hidden))).groupby(cares_for).mean()
    assert cost[side] >= 0.32
    assert cost["both"] >= 0.11
    assert cost[other] == 0.0
