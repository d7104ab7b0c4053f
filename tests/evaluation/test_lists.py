import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.lists import all_lists, draw_candidates, held_out_queries, sample_queries
from mmsra_pipeline.retrieval.views import Ranks

CONFIG = EvaluationConfig(negatives=4)
CATALOGUE = [f"i{number:02}" for number in range(20)]


def interactions_of(histories):
    rows = [(user, item, position) for user, items in histories.items() for position, item in enumerate(items)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "position"])


def queries_of(histories, split="test"):
    rows = [(user, split, len(items) - 1, items[-2:-1], items[-1]) for user, items in histories.items()]
    return pd.DataFrame(rows, columns=["user_id", "split", "position", "history", "target"])


HISTORIES = {"u": CATALOGUE[:10], "v": CATALOGUE[5:9], "w": CATALOGUE[12:]}
INTERACTIONS = interactions_of(HISTORIES)
TRAINING = interactions_of({"t": CATALOGUE, "s": CATALOGUE[:3], "r": CATALOGUE[:1]})


def draw(queries=None, config=CONFIG, seed=0, catalogue=CATALOGUE, interactions=INTERACTIONS):
    asked = queries_of(HISTORIES) if queries is None else queries
    return draw_candidates(asked, TRAINING, catalogue, config, seed, interactions=interactions)


def test_each_list_has_the_target_once_and_negatives_without_repetition():
    lists = draw()
    assert lists.columns.tolist() == ["protocol", "user_id", "position", "item_id", "is_target"]
    targets = queries_of(HISTORIES).set_index("user_id")["target"]
    for (_, user), group in lists.groupby(["protocol", "user_id"]):
        assert len(group) == 5
        assert group["item_id"].is_unique
        assert group.loc[group["is_target"], "item_id"].tolist() == [targets[user]]
    assert lists["protocol"].unique().tolist() == ["uniform", "popularity"]


def test_no_negative_was_taken_by_the_user_in_any_split():
    # The history of a query shows one item; the interactions know them all.
    for seed in range(20):
        lists = draw(seed=seed)
        for user, group in lists[~lists["is_target"]].groupby("user_id"):
            assert not set(group["item_id"]) & set(HISTORIES[user])


def test_no_negative_stands_in_the_history_of_the_query():
    config = CONFIG.model_copy(update={"negatives": 18})  # all but target and history
    lists = draw(config=config, interactions=INTERACTIONS[:0])
    history_of = queries_of(HISTORIES).set_index("user_id")["history"]
    for user, group in lists.groupby("user_id"):
        assert not set(group["item_id"]) & set(history_of[user])


def test_the_place_of_the_target_tells_nothing():
    many = {f"u{number:04}": ["i00", "i01"] for number in range(2000)}
    config = CONFIG.model_copy(update={"protocols": ("uniform",)})
    lists = draw(queries_of(many), config, interactions=interactions_of(many))
    counts = np.bincount(np.flatnonzero(lists["is_target"]) % 5, minlength=5)
    assert counts.min() > 400 - 4 * 18  # 18: standard deviation of a fifth of 2000
    assert counts.max() < 400 + 4 * 18


def test_uniform_negatives_are_even_and_popular_ones_follow_training_counts():
    many = {f"u{number:04}": ["i19", "i18"] for number in range(2000)}
    config = CONFIG.model_copy(update={"negatives": 1})
    lists = draw(queries_of(many), config, interactions=interactions_of(many))
    negatives = lists[~lists["is_target"]]
    drawn = {name: group["item_id"].value_counts() for name, group in negatives.groupby("protocol")}
    assert drawn["uniform"]["i00"] == pytest.approx(2000 / 18, abs=45)
    # i00 was taken 3 times, i01 and i02 twice, the other 15 once: 22 in all.
    assert drawn["popularity"]["i00"] == pytest.approx(2000 * 3 / 22, abs=65)
    assert drawn["popularity"]["i10"] == pytest.approx(2000 / 22, abs=40)


def test_items_nobody_took_in_training_are_no_popular_negatives():
    config = CONFIG.model_copy(update={"negatives": 5})
    lists = draw(config=config, catalogue=[*CATALOGUE, "new"])
    assert "new" not in set(lists.loc[lists["protocol"] == "popularity", "item_id"])


def test_a_list_depends_on_seed_and_query_alone():
    whole = draw()
    only = draw(queries_of({"w": HISTORIES["w"]}), catalogue=CATALOGUE[::-1])
    pd.testing.assert_frame_equal(whole[whole["user_id"] == "w"].reset_index(drop=True), only)
    assert draw(seed=1)["item_id"].tolist() != whole["item_id"].tolist()


def test_a_catalogue_that_is_too_small_is_an_error_that_says_what_fits():
    config = CONFIG.model_copy(update={"negatives": 11})
    message = r"user 'u' can be given only 10 of 11 negatives under protocol 'uniform'.*`evaluation.negatives` to 10"
    with pytest.raises(DataError, match=message):
        draw(config=config)


def test_queries_without_a_target_are_refused():
    with pytest.raises(ValueError, match="queries without a target"):
        draw(queries_of(HISTORIES).assign(target=None))


def test_sampled_queries_are_all_test_rows_of_that_many_users():
    histories = {f"u{number}": ["a", "b"] for number in range(9)}
    sequences = pd.concat([queries_of(histories), queries_of(histories, "train")])
    few = EvaluationConfig(users=4)
    chosen = sample_queries(sequences, few, seed=1)
    assert set(chosen["split"]) == {"test"}
    assert chosen["user_id"].is_monotonic_increasing
    assert chosen["user_id"].nunique() == 4
    shuffled = sequences.sample(frac=1, random_state=0)
    assert sample_queries(shuffled, few, seed=1)["user_id"].tolist() == chosen["user_id"].tolist()
    assert len(sample_queries(sequences, EvaluationConfig(), seed=1)) == 9


def test_no_test_row_is_an_error():
    with pytest.raises(DataError, match="none of the 3 rows of `sequences` is for test"):
        sample_queries(queries_of(HISTORIES, "train"), CONFIG, seed=0)


def test_each_split_has_its_own_queries_and_its_own_number_of_users():
    histories = {f"u{number}": ["a", "b", "c"] for number in range(9)}
    sequences = pd.concat([queries_of(histories), queries_of(histories, "validation"), queries_of(histories, "train")])
    config = EvaluationConfig(users=4, validation_users=6)
    for split, users in (("test", 4), ("validation", 6)):
        chosen = sample_queries(sequences, config, seed=1, split=split)
        assert set(chosen["split"]) == {split}
        assert chosen["user_id"].nunique() == len(chosen) == users
        assert len(held_out_queries(sequences, split)) == 9
    every = EvaluationConfig(users=1, validation_users=None)
    assert len(sample_queries(sequences, every, seed=1, split="validation")) == 9


def test_no_validation_row_is_no_error():
    assert sample_queries(queries_of(HISTORIES), CONFIG, seed=0, split="validation").empty


class Served:
    """Stands in for the first stage: the same four items for everybody, those taken left out."""

    ITEMS = ("i19", "i03", "i11", "i04")

    def ranked(self, queries, count):
        for user, at in zip(queries["user_id"], queries["position"]):
            free = [item for item in self.ITEMS if item not in HISTORIES[user][:-1]]
            rank = np.zeros(len(self.ITEMS), dtype=np.int64)
            order = np.array([self.ITEMS.index(item) for item in free])
            rank[order] = np.arange(1, len(free) + 1)
            yield Ranks(user, at, self.ITEMS, {item: place for place, item in enumerate(self.ITEMS)}, order, rank)


def every_list(served, config=CONFIG):
    return all_lists(queries_of(HISTORIES), TRAINING, INTERACTIONS, Served(), served, config, 0)


def test_served_lists_stand_beside_the_drawn_ones_and_may_lack_what_came_next():
    lists = every_list(2)
    columns = ["protocol", "user_id", "position", "item_id", "is_target"]
    drawn = draw(catalogue=INTERACTIONS["item_id"].unique().tolist())
    pd.testing.assert_frame_equal(lists.iloc[: len(drawn)][columns], drawn)
    served = lists[lists["protocol"] == "served"]
    assert served["user_id"].unique().tolist() == ["u", "v", "w"]
    # u took up to i09 and then that, v up to i07 and then i08, w up to i18 and then i19.
    expected = {"u": [("i19", 1), ("i11", 2)], "v": [("i19", 1), ("i03", 2)], "w": [("i19", 1), ("i03", 2)]}
    for user, own in served.groupby("user_id"):
        assert list(zip(own["item_id"], own["first_stage_rank"])) == expected[user]
    assert served.loc[served["is_target"], ["user_id", "item_id"]].to_numpy().tolist() == [["w", "i19"]]


def test_every_candidate_has_its_place_in_the_first_stage_where_it_has_one():
    lists = every_list(0)
    assert "served" not in set(lists["protocol"])
    for user, item, rank in zip(lists["user_id"], lists["item_id"], lists["first_stage_rank"]):
        free = [each for each in Served.ITEMS if each not in HISTORIES[user][:-1]]
        assert pd.isna(rank) if item not in free else rank == free.index(item) + 1
    assert lists["first_stage_rank"].dtype == "Int64"


def timed(histories, start):
    """Interactions of ``histories``: the first of a user at the user's ``start``, the others one later each."""
    table = interactions_of(histories)
    return table.assign(timestamp=pd.array(table["user_id"].map(start) + table["position"], dtype="Int64"))


def test_existing_negatives_had_been_taken_by_the_time_of_the_query():
    others = {"early": CATALOGUE[:6], "late": CATALOGUE[4:]}  # i00 to i05 from 100 on, i06 at 1002, and so on
    interactions = timed({**others, "u": ["i00", "i01"]}, {"early": 100, "late": 1000, "u": 500})
    queries = queries_of({"u": ["i00", "i01"]}).assign(timestamp=pd.array([1003], dtype="Int64"))
    config = CONFIG.model_copy(update={"protocols": ("uniform", "existing")})
    drawn = {"uniform": set(), "existing": set()}
    for seed in range(60):
        lists = draw(queries, config, seed, interactions=interactions)
        for protocol, group in lists[~lists["is_target"]].groupby("protocol"):
            drawn[protocol] |= set(group["item_id"])
    assert drawn["existing"] == set(CATALOGUE[2:8])  # i07 came at 1003, the very time of the query
    assert drawn["uniform"] == set(CATALOGUE[2:])


def test_a_query_or_an_item_without_a_time_bounds_nothing():
    config = CONFIG.model_copy(update={"protocols": ("existing",), "negatives": 18})
    interactions = timed({"late": CATALOGUE, "u": ["i00", "i01"]}, {"late": 1000, "u": 500})
    queries = queries_of({"u": ["i00", "i01"]})
    unknown = pd.array([None], dtype="Int64")
    assert len(draw(queries.assign(timestamp=unknown), config, interactions=interactions)) == 19
    untimed = interactions.assign(timestamp=pd.array([None] * len(interactions), dtype="Int64"))
    asked = queries.assign(timestamp=pd.array([1], dtype="Int64"))
    assert len(draw(asked, config, interactions=untimed)) == 19
    with pytest.raises(DataError, match=r"only 0 of 18 negatives .* had been taken by then"):
        draw(asked, config, interactions=interactions)
