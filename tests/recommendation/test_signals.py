import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from recommendation import shop, wide_shop
from recommendation.wide_shop import COLD, EVIDENCE, ITEMS, VECTORS, WORDS
from retrieval.histories import interactions_of

from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TIME, USER
from mmsra_pipeline.config.tree import SLOTS, STATED
from mmsra_pipeline.recommendation import signals
from mmsra_pipeline.recommendation.catalogue_classes import BOUNDS, classes_of
from mmsra_pipeline.recommendation.keyword_affinity import KeywordAffinity
from mmsra_pipeline.recommendation.queries import Query, queries_of
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder, fold_of

POPULARITY = SLOTS.index("popularity")


def asked_of(split: str, count: int) -> list[Query]:
    """The query of that split with the longest history, and others at random."""
    rows = wide_shop.sequences()
    rows = rows[rows[SPLIT] == split]
    longest = rows["history"].map(len).idxmax()
    return queries_of(pd.concat([rows.loc[[longest]], rows.drop(longest).sample(count - 1, random_state=0)]))


def one(source: SignalSource, query: Query, items: list[str], *, training: bool = False):
    (found,) = source.of([query], [items], training=training)
    return found


def in_order_of_slots(by_slot: dict[str, list[float]]) -> np.ndarray:
    return np.array([by_slot[slot] for slot in SLOTS], dtype=float).T


def by_definition(query: Query, items: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Every signal and its class, from the interactions, one item after the other."""
    others = wide_shop.training()
    others = others[others[USER] != query.user]
    catalogue = sorted(wide_shop.training()[ITEM].unique())
    before = math.inf if query.before is None else query.before
    takers = Counter(others.loc[others[TIME] < before, ITEM])
    histories = [own.sort_values(POSITION) for _, own in others.groupby(USER)]

    def joined(recent: tuple[str, ...], window: int) -> dict[str, float]:
        pairs: Counter[tuple[str, str]] = Counter()
        for own in histories:
            items, times = own[ITEM].tolist(), own[TIME].tolist()
            for late in range(len(items)):
                if times[late] < before:
                    pairs.update((early, items[late]) for early in items[max(0, late - window) : late])
        return {
            item: sum(pairs[early, item] / math.sqrt(max(takers[early], 1) * max(takers[item], 1)) for early in recent)
            for item in catalogue
        }

    def known(values: dict[str, float]) -> dict[str, float]:
        return {item: value for item, value in values.items() if value > 0}

    voted = wide_shop.voters()
    voted = voted[(voted[USER] == query.user) & (voted[POSITION] == query.position)]
    votes: dict[str, float] = {}
    for item, cosine in zip(voted[ITEM], voted["score"]):
        if item in catalogue:
            votes[item] = votes.get(item, 0.0) + max(cosine, 0.0)
    vectors = [VECTORS[item] for item in query.history[-10:] if item in VECTORS]
    like = {item: [float(VECTORS[item] @ old) for old in vectors] for item in [*catalogue, *items] if item in VECTORS}
    words = {**WORDS, **COLD}
    described = [words[item] for item in query.history if words[item]]

    def affinity(item: str) -> float:
        found = []
        for word in words[item]:
            share = max(sum(word in words[other] for other in catalogue), 1) / len(catalogue)
            count = sum(word in own for own in described)
            spread = math.sqrt(len(described) * share * (1 - share) + 0.1)
            found.append((count - len(described) * share) / spread)
        return max(found)

    scores = dict(zip(ITEMS, wide_shop.encoder().score_all([["i00"]])[0].tolist()))
    values: dict[str, dict[str, float]] = {
        "sequence": {item: score for item, score in scores.items() if item in catalogue},
        "cooccurrence": known(joined(query.history[-20:], 20)),
        "next": known(joined(query.history[-1:], 1)),
        "votes": votes,
        "taste": {item: sum(found) / len(found) for item, found in like.items()},
        "nearest": {item: max(found) for item, found in like.items()},
        "keywords": {item: affinity(item) for item in [*catalogue, *items] if words.get(item)},
        "popularity": known({item: float(takers[item]) for item in catalogue}),
    }
    raw = {slot: [own.get(item, math.nan) for item in items] for slot, own in values.items()}
    raw["popularity"] = [float(takers[item]) for item in items]

    def class_of(own: dict[str, float], item: str) -> int:
        if item not in own:
            return 0
        higher = sum(own[other] > own[item] + 1e-6 for other in own if other in catalogue)
        equal = sum(abs(own[other] - own[item]) <= 1e-6 for other in own if other in catalogue and other != item)
        if item not in catalogue:
            equal = max(equal - 1, 0)
        return 9 - sum(bound <= (higher + equal / 2) / len(catalogue) for bound in BOUNDS)

    def summed(item: str) -> float:
        classes = [class_of(values[slot], item) for slot in STATED]
        said = [value / 9 for value in classes] + [value == 0 for value in classes]
        return sum(weight * value for weight, value in zip(EVIDENCE.weights, said, strict=True))

    values["all"] = {item: summed(item) for item in {*catalogue, *items}}
    raw["all"] = [values["all"][item] for item in items]
    return in_order_of_slots(raw), in_order_of_slots(
        {slot: [class_of(own, item) for item in items] for slot, own in values.items()}
    )


@pytest.mark.parametrize("split", ["train", "test", "serve"])
def test_every_signal_is_what_its_definition_gives(split, monkeypatch):
    queries = asked_of(split, 4)
    assert max(len(query.history) for query in queries) > 20  # else no window would end
    monkeypatch.setattr(signals, "TOGETHER", 3)  # of four
    seen: set[int] = set()
    lists = [[item for item in (*ITEMS, "new") if item not in query.history] for query in queries]
    for query, items, found in zip(queries, lists, wide_shop.source().of(queries, lists, training=False), strict=True):
        raw, classes = by_definition(query, items)
        np.testing.assert_allclose(found.raw, raw, atol=1e-6)
        np.testing.assert_array_equal(found.classes, classes)
        seen |= set(found.classes.ravel().tolist())
    assert seen >= set(range(10)) - {8}  # among 60 items hardly any share is between 0.005 and 0.015


def test_what_others_take_at_or_after_the_moment_changes_nothing():
    events = wide_shop.training()
    for query in asked_of("train", 5):
        later = pd.DataFrame(
            [("z", item, query.before + late, None, at) for at, (item, late) in enumerate(zip(ITEMS, [0, 0, 1, 50]))],
            columns=events.columns,
        ).astype(events.dtypes)
        planted = pd.concat([events, later], ignore_index=True)
        items = [item for item in ITEMS if item in set(events[ITEM])]
        planted = planted[planted[ITEM].isin(items)]
        before, after = one(wide_shop.source(), query, items), one(wide_shop.source(planted), query, items)
        np.testing.assert_array_equal(after.raw, before.raw)
        np.testing.assert_array_equal(after.classes, before.classes)
        earlier = planted.assign(**{TIME: planted[TIME].where(planted[USER] != "z", query.before - 1)})
        assert not np.array_equal(one(wide_shop.source(earlier), query, items).raw, before.raw, equal_nan=True)


def test_the_users_own_events_do_not_count():
    events = wide_shop.training()
    for query in asked_of("train", 5):
        others = events[events[USER] != query.user]
        assert set(others[ITEM]) == set(events[ITEM])  # else the catalogue would change
        whole, without = one(wide_shop.source(), query, ITEMS), one(wide_shop.source(others), query, ITEMS)
        np.testing.assert_array_equal(without.raw, whole.raw)
        np.testing.assert_array_equal(without.classes, whole.classes)


def test_nothing_is_known_of_an_item_without_words_picture_and_users():
    (query,) = asked_of("test", 1)
    found = one(wide_shop.source(evidence=None), query, ["i00", "nowhere"])
    assert found.classes[1].tolist() == [0] * len(SLOTS)
    assert np.isnan(np.delete(found.raw[1], POPULARITY)).all()
    assert found.raw[1, POPULARITY] == 0
    assert (found.classes[0] > 0).any()


def test_a_history_that_is_empty_or_of_unknown_items_leaves_popularity_and_votes():
    for history in ((), ("nowhere",)):
        query = Query("u00", 1, history, None)
        found = one(wide_shop.source(evidence=None), query, ITEMS).classes
        known_slots = {slot for slot, column in zip(SLOTS, found.T) if column.any()}
        assert known_slots == {"popularity", "votes"}


def test_training_queries_are_answered_by_the_encoder_that_has_not_seen_their_user():
    folded = FoldedEncoder(wide_shop.encoder(0), [wide_shop.encoder(1), wide_shop.encoder(2)], seed=4)
    source, queries = wide_shop.source(folded=folded), asked_of("train", 12)
    assert {fold_of(query.user, 2, 4) for query in queries} == {0, 1}
    for training in (True, False):
        for query, found in zip(queries, source.of(queries, [ITEMS] * 12, training=training), strict=True):
            own = wide_shop.encoder(1 + fold_of(query.user, 2, 4) if training else 0)
            np.testing.assert_array_equal(found.raw[:, 0], own.score_all([["i00"]])[0].astype(np.float64))


def test_signals_of_a_candidate_are_the_same_alone_and_in_a_list_and_among_other_queries():
    queries = asked_of("test", 3)
    items = [*ITEMS, "new"]
    together = list(wide_shop.source().of(queries, [items] * 3, training=False))
    for query, found in zip(queries, together, strict=True):
        for place in range(0, len(items), 7):
            alone = one(wide_shop.source(), query, [items[place]])
            np.testing.assert_array_equal(alone.raw[0], found.raw[place])
            np.testing.assert_array_equal(alone.classes[0], found.classes[place])


def test_items_that_are_equally_like_the_history_are_in_one_class():
    items = [f"i{number}" for number in range(90)]
    events = interactions_of({f"u{number}": items[number : number + 12] for number in range(0, 90, 3)})
    drawn = shop.vectors(range(9), dim=384)
    vectors = {item: drawn[place % 9] for place, item in enumerate(items)}  # as of items whose words are the same
    source = SignalSource(
        CooccurrenceIndex.of_training(events, 20),
        FoldedEncoder(wide_shop.encoder()),
        shop.similar_users(),
        keywords={},
        vectors=vectors,
    )
    found = one(source, Query("u", 7, tuple(items[:7]), None), items)
    for slot in ("taste", "nearest"):
        classes = found.classes[:, SLOTS.index(slot)]
        assert len(set(classes.tolist())) > 1
        assert all(len(set(classes[kind::9].tolist())) == 1 for kind in range(9))


def test_without_a_regression_nothing_is_summed_up():
    (query,) = asked_of("test", 1)
    whole, without = (one(wide_shop.source(evidence=evidence), query, ITEMS) for evidence in (EVIDENCE, None))
    np.testing.assert_array_equal(without.raw[:, :-1], whole.raw[:, :-1])
    assert np.isnan(without.raw[:, -1]).all()
    assert not without.classes[:, -1].any()


def test_votes_of_one_item_add_up_and_those_of_other_queries_do_not_count():
    rows = [("u9", 2, 1, "lamp", 0.5), ("u9", 2, 2, "bag", 0.4), ("u9", 2, 3, "lamp", 0.25), ("u9", 2, 4, "mug", -0.3)]
    others = [("u9", 3, 1, "ball", 1.0), ("u1", 2, 1, "ball", 1.0)]
    table = pd.DataFrame([*rows, *others], columns=[USER, POSITION, "rank", ITEM, "score"])
    found = one(shop.source(table), shop.query(), ["lamp", "ball", "mug", "bag"])
    votes = SLOTS.index("votes")
    np.testing.assert_array_equal(found.raw[:, votes], [0.75, math.nan, 0.0, math.nan])  # nobody took a bag by then
    assert found.classes[0, votes] > found.classes[2, votes] > 0
    assert found.classes[1, votes] == 0


@pytest.mark.parametrize("known", [1.0, 0.4])
def test_a_class_means_the_same_share_in_a_small_catalogue_and_in_a_large_one(known):
    small, large = np.arange(50.0)[::-1], np.arange(5000.0)[::-1]  # place r of the small one is place 100 r
    small[int(50 * known) :], large[int(5000 * known) :] = math.nan, math.nan
    np.testing.assert_array_equal(classes_of(large[::100], large), classes_of(small, small))
    counts = np.bincount(classes_of(large, large), minlength=10)
    shares = np.diff([0.0, *BOUNDS, 1.0]).clip(0)
    expected = np.minimum(np.cumsum(shares), known) - np.minimum(np.cumsum(shares) - shares, known)
    np.testing.assert_allclose(counts[:0:-1] / 5000, expected, atol=1e-3)
    assert counts[0] == round(5000 * (1 - known))


def test_equal_values_share_a_class_and_what_leads_alone_is_in_the_first():
    catalogue = np.array([5.0, *[1.0] * 9])
    assert classes_of(np.array([5.0, 1.0]), catalogue).tolist() == [9, 2]  # (1 + 8 / 2) / 10 are above a 1
    assert classes_of(np.array([1.0]), np.full(4, 1.0)).tolist() == [3]


def affinities(history, items, keywords, catalogue):
    """The affinity of each item by its formula."""
    described = [keywords[item] for item in history if keywords.get(item)]
    found = []
    for item in items:
        excess = []
        for word in set(keywords.get(item, ())):
            share = max(sum(word in keywords.get(other, ()) for other in catalogue), 1) / len(catalogue)
            count = sum(word in own for own in described)
            excess.append((count - len(described) * share) / math.sqrt(len(described) * share * (1 - share) + 0.1))
        found.append(max(excess, default=math.nan))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_keyword_affinity_is_its_formula(seed):
    generator = np.random.default_rng(seed)
    vocabulary = [f"w{number}" for number in range(15)]
    keywords = {
        f"i{number}": generator.choice(vocabulary, generator.integers(0, 5)).tolist()  # a word may come twice
        for number in range(40)
    }
    keywords |= {"new": ["unheard", "w1"], "newer": ["unheard"], "bare": []}
    catalogue = sorted(item for item in keywords if item not in ("new", "newer", "bare"))
    assert any(not keywords[item] for item in catalogue)
    affinity = KeywordAffinity(keywords, catalogue)
    for history in (["i1", "i2", "i3"], [*generator.choice(catalogue, 12), "newer", "bare"], ["bare"]):
        items = ["new", "newer", "bare", "nowhere", *generator.choice(catalogue, 6)]
        own, every = affinity.of(history, items)
        np.testing.assert_allclose(own, affinities(history, items, keywords, catalogue), rtol=1e-12)
        np.testing.assert_allclose(every, affinities(history, catalogue, keywords, catalogue), rtol=1e-12)


def test_keyword_affinity_of_a_catalogue_without_keywords():
    own, every = KeywordAffinity({"a": ["red"], "b": []}, ["b", "c"]).of(["a"], ["a", "b"])
    assert own[0] > 0
    assert np.isnan(own[1])
    assert np.isnan(every).all()


def test_the_sequential_model_says_nothing_of_an_item_that_the_user_alone_took():
    histories = {"u": ["i00", "i01", "i02"], "v": ["i00", "i01", "i03"], "w": ["i01", "i03"]}
    source = SignalSource(
        CooccurrenceIndex.of_training(interactions_of(histories), 20),
        FoldedEncoder(wide_shop.encoder()),
        shop.similar_users(),
        keywords={},
        vectors={},
    )
    for training in (True, False):
        found = one(source, Query("u", 2, ("i00", "i01"), None), ["i02", "i03"], training=training)
        assert np.isnan(found.raw[0, 0])
        assert found.classes[0, 0] == 0
        assert found.classes[1, 0] > 0
    other = one(source, Query("v", 2, ("i00", "i01"), None), ["i02"])
    assert other.classes[0, 0] > 0  # someone else took it
