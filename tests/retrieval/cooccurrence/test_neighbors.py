import itertools

import duckdb
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from retrieval.histories import interactions_of, random_training

from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.splits import training_interactions
from mmsra_pipeline.retrieval.cooccurrence.neighbors import NEIGHBORS, cooccurrence_neighbors
from mmsra_pipeline.retrieval.times import DAY, HOUR

CONFIG = CooccurrenceConfig(window=2, neighbors_per_item=10, min_users=1)
ALL = CONFIG.model_copy(update={"neighbors_per_item": 10_000})
HISTORIES = {"u": ["a", "b", "c", "d"], "v": ["a", "c"], "w": ["b", "a"]}


@pytest.fixture
def neighbors_of(store):
    def found(rows, config, **asked) -> pd.DataFrame:
        with store.duckdb() as connection:
            return cooccurrence_neighbors(connection, rows, config, **asked).read_all().to_pandas()

    return found


def by_hour(training: pd.DataFrame) -> pd.DataFrame:
    """The same with times in hours since 1970."""
    return training.assign(timestamp=training["timestamp"] * HOUR)


def by_matrix_product(training: pd.DataFrame, config: CooccurrenceConfig, before: int | None = None) -> pd.DataFrame:
    """All neighbors by E' J E: E says which interaction is of which item, and its weight, J which come soon after."""
    rows = training.sort_values(["user_id", "position"])
    if before is not None:
        rows = rows[rows["timestamp"] < before]
    items, names = pd.factorize(rows["item_id"], sort=True)
    users, user_names = pd.factorize(rows["user_id"])
    times, positions = rows["timestamp"].to_numpy(np.int64), rows["position"].to_numpy()
    weights = np.ones(len(rows))
    if config.user_weight == "inverse_length":
        weights /= np.bincount(users)[users]
    if config.half_life_days is not None:
        age = (times.max() if before is None else before) - times
        weights *= 0.5 ** (age / (config.half_life_days * DAY))

    later = (users[:, None] == users) & (positions > positions[:, None])
    if config.window is not None:
        later &= positions - positions[:, None] <= config.window
    if config.session_hours is not None:
        ends = np.diff(times, prepend=times[:1]) > config.session_hours * HOUR
        session = np.array([ends[users == user][: place + 1].sum()  # of each row, how many ended before it
                            for user in range(len(user_names)) for place in range((users == user).sum())])  # fmt: skip
        later &= session[:, None] == session
    shape = (len(rows), len(names))
    taken = scipy.sparse.csr_array((np.ones(len(rows)), (np.arange(len(rows)), items)), shape=shape)
    weighing = scipy.sparse.csr_array((np.sqrt(weights), (np.arange(len(rows)), items)), shape=shape)
    joint = scipy.sparse.csr_array(later.astype(float))
    pair_users, pair = (taken.T @ joint @ taken).toarray(), (weighing.T @ joint @ weighing).toarray()

    own = np.bincount(items, weights)
    total = sum(weights[users == user].max() for user in range(len(user_names)))
    lift = pair * total / (own[:, None] * own)
    with np.errstate(divide="ignore"):
        score = {"cosine": pair / np.sqrt(own[:, None] * own), "lift": lift, "pmi": np.log(lift)}[config.normalization]
    first, second = np.nonzero(pair_users >= config.min_users)
    return pd.DataFrame(
        {
            "item_id": names[first],
            "neighbor_id": names[second],
            "score": score[first, second],
            "users": pair_users[first, second].astype(int),
        }
    )


def assert_ordered(found: pd.DataFrame) -> None:
    expected = found.sort_values(["item_id", "score", "users", "neighbor_id"], ascending=[True, False, False, True])
    assert found.index.tolist() == expected.index.tolist()
    assert (found["rank"] == found.groupby("item_id").cumcount() + 1).all()


def test_neighbors_are_scored_by_hand_worked_cosines(neighbors_of):
    neighbors = neighbors_of(interactions_of(HISTORIES), CONFIG).set_index(["item_id", "neighbor_id"])
    # a then c: users u and v; a has 3 users, c has 2. d lies 3 after a: outside the window.
    assert neighbors.loc[("a", "c"), "users"] == 2
    assert neighbors.loc[("a", "c"), "score"] == 2 / np.sqrt(3 * 2)
    assert neighbors.loc[("b", "a"), "score"] == 1 / np.sqrt(2 * 3)
    assert ("a", "d") not in neighbors.index
    assert ("c", "a") not in neighbors.index  # the direction counts


def test_lift_and_pmi_are_worked_by_hand(neighbors_of):
    lift, pmi = (
        neighbors_of(interactions_of(HISTORIES), CONFIG.model_copy(update={"normalization": name}))
        .set_index(["item_id", "neighbor_id"])["score"]
        for name in ("lift", "pmi")
    )  # fmt: skip
    # Of 3 users 2 took c soon after a, all took a, 2 took c: (2/3) / (3/3 · 2/3) = 1. d: 1 of 3, after c 1 of 3.
    assert lift["a", "c"] == pytest.approx(1)
    assert lift["c", "d"] == pytest.approx(1.5)
    assert pmi["a", "c"] == pytest.approx(0)
    assert pmi["c", "d"] == pytest.approx(np.log(1.5))


def test_a_pair_counts_half_when_it_is_a_half_life_old(neighbors_of):
    # Days: the cut is 10, the half-life 2. u took both at 8: 1/2. v took a at 6 (1/4) and b at 10 (1): together 1/2.
    training = interactions_of({"u": ["a", "b"], "v": ["a", "b"]}, {"u": [8 * DAY, 8 * DAY], "v": [6 * DAY, 10 * DAY]})
    found = neighbors_of(training, CONFIG.model_copy(update={"half_life_days": 2}))
    assert found["score"].tolist() == pytest.approx([(1 / 2 + 1 / 2) / np.sqrt((1 / 2 + 1 / 4) * (1 / 2 + 1))])
    assert found["users"].tolist() == [2]


def test_a_user_of_many_interactions_counts_less(neighbors_of):
    config = CONFIG.model_copy(update={"user_weight": "inverse_length"})
    found = neighbors_of(interactions_of(HISTORIES), config).set_index(["item_id", "neighbor_id"])
    # u has 4 interactions, v and w have 2. a then c: 1/4 + 1/2; a: 1/4 + 1/2 + 1/2; c: 1/4 + 1/2.
    assert found.loc[("a", "c"), "score"] == pytest.approx(0.75 / np.sqrt(1.25 * 0.75))
    assert found.loc[("a", "c"), "users"] == 2


def test_a_longer_pause_than_session_hours_ends_a_session(neighbors_of):
    hours = [time * HOUR for time in (0, 2, 5, 5)]
    training = interactions_of({"u": ["a", "b", "c", "d"]}, {"u": hours})
    for session_hours, expected in [(3, "ab ac bc bd cd"), (2.9, "ab cd"), (1, "cd")]:
        found = neighbors_of(training, CONFIG.model_copy(update={"session_hours": session_hours}))
        assert (found["item_id"] + found["neighbor_id"]).tolist() == expected.split()


def test_neighbors_are_ordered_by_score_then_users_then_id(neighbors_of):
    training = interactions_of({"u": ["a", "b"], "v": ["a", "c"], "w": ["a", "d"], "x": ["d"]})
    neighbors = neighbors_of(training, CONFIG)
    assert neighbors["neighbor_id"].tolist() == ["b", "c", "d"]
    assert neighbors["rank"].tolist() == [1, 2, 3]
    assert neighbors.columns.tolist() == ["item_id", "neighbor_id", "rank", "score", "users"]


def test_pairs_of_few_users_are_left_out_and_lists_are_cut(neighbors_of):
    config = CONFIG.model_copy(update={"min_users": 2})
    found = neighbors_of(interactions_of(HISTORIES), config)
    assert found[["item_id", "neighbor_id"]].to_numpy().tolist() == [["a", "c"]]
    every = neighbors_of(random_training(), ALL)
    short = neighbors_of(random_training(), CONFIG.model_copy(update={"neighbors_per_item": 3}))
    pd.testing.assert_frame_equal(short, every[every["rank"] <= 3].reset_index(drop=True))
    assert every.groupby("item_id").size().max() > 3


@pytest.mark.parametrize(
    ("window", "session_hours", "half_life_days", "user_weight", "normalization"),
    [  # each of all combinations of the rest with one normalization; windows of 17 and more are not read ahead
        (*settings, normalization)
        for settings, normalization in zip(
            itertools.product((1, 2, 17, None), (None, 4), (None, 0.3), ("none", "inverse_length")),
            itertools.cycle(("cosine", "lift", "pmi")),
            strict=False,
        )
    ],
)
def test_neighbors_equal_a_matrix_product(
    neighbors_of, window, session_hours, half_life_days, user_weight, normalization
):
    config = CooccurrenceConfig(
        normalization=normalization, user_weight=user_weight, half_life_days=half_life_days, window=window,
        session_hours=session_hours, min_users=2, neighbors_per_item=10_000,
    )  # fmt: skip
    for before in (None, 21 * HOUR):
        training = by_hour(random_training(seed=5))
        found = neighbors_of(training, config, before=before)
        assert_ordered(found)
        by_id = found.sort_values(["item_id", "neighbor_id"])[["item_id", "neighbor_id", "score", "users"]]
        expected = by_matrix_product(training, config, before)
        pd.testing.assert_frame_equal(by_id.reset_index(drop=True), expected, check_dtype=False, rtol=1e-6, atol=1e-9)
        assert len(expected) >= 3


def test_before_a_time_the_later_interactions_and_those_without_time_are_as_if_they_were_not(neighbors_of):
    training = interactions_of(HISTORIES, {"u": [1, 2, 3, 4], "v": [5, 6], "w": [7, None]})
    earlier = interactions_of({"u": ["a", "b", "c", "d"], "v": ["a"]}, {"u": [1, 2, 3, 4], "v": [5]})
    for normalization in ("cosine", "lift"):
        config = CONFIG.model_copy(update={"normalization": normalization})
        pd.testing.assert_frame_equal(neighbors_of(training, config, before=6), neighbors_of(earlier, config))


def test_training_sees_what_the_bounds_say_also_in_files(neighbors_of, store):
    interactions = by_hour(random_training(seed=8))
    generator = np.random.default_rng(0)
    users = [f"u{number}" for number in range(0, 44, 2)]  # some have no bound, some are not among the interactions
    bounds = pd.DataFrame({"user_id": users, "bound": generator.integers(1, 12, len(users))})
    expected = neighbors_of(training_interactions(interactions, bounds), CONFIG)
    found = neighbors_of(interactions, CONFIG, training_bounds=bounds)
    pd.testing.assert_frame_equal(found, expected)
    files = [store.replace(name, "shop", rows).path for name, rows in (("taken", interactions), ("bounds", bounds))]
    pd.testing.assert_frame_equal(neighbors_of(files[0], CONFIG, training_bounds=files[1]), expected)
    assert 0 < len(expected) < len(neighbors_of(interactions, CONFIG))


def test_neighbors_depend_neither_on_the_order_of_the_rows_nor_on_threads():
    training = by_hour(pd.concat([random_training(seed, users=400, items=300) for seed in range(2)])
                       .drop_duplicates(["user_id", "item_id"]))  # fmt: skip
    training["position"] = training.groupby("user_id").cumcount()
    config = CooccurrenceConfig(half_life_days=0.5, user_weight="inverse_length", min_users=1)
    found = []
    for threads, rows in [(1, training), (4, training.sample(frac=1, random_state=1))]:
        with duckdb.connect(config={"threads": threads}) as connection:
            found.append(cooccurrence_neighbors(connection, rows, config).read_all())
    assert found[0].equals(found[1])


@pytest.mark.parametrize("step", [2, 17])  # 17 is not read ahead
def test_positions_that_are_left_out_still_count_for_the_window(neighbors_of, step):
    training = interactions_of({"u": ["a", "b", "c"]}).assign(position=[0, step, 2 * step + 1])
    for window, expected in [(step - 1, ""), (step, "ab"), (step + 1, "ab bc"), (2 * step + 1, "ab ac bc")]:
        found = neighbors_of(training, CONFIG.model_copy(update={"window": window}))
        assert (found["item_id"] + found["neighbor_id"]).tolist() == expected.split()


def test_sessions_and_age_of_data_without_times_are_refused(neighbors_of):
    for setting in ("session_hours", "half_life_days"):
        config = CONFIG.model_copy(update={setting: 1.0})
        with pytest.raises(DataError, match=f"8 of 8 training interactions have no time.*{setting}"):
            neighbors_of(interactions_of(HISTORIES), config)
    assert len(neighbors_of(interactions_of(HISTORIES), CONFIG))


def test_what_has_decayed_to_nothing_is_no_neighbor(neighbors_of):
    training = interactions_of({"u": ["a", "b"], "v": ["c", "d"]}, {"u": [0, 0], "v": [100 * DAY, 100 * DAY]})
    config = CONFIG.model_copy(update={"half_life_days": 1})
    assert neighbors_of(training, config)["item_id"].tolist() == ["c"]
    # Age is counted from the newest interaction, so that data that end long before the cut lose nothing.
    assert neighbors_of(training, config, before=10_000 * DAY)["item_id"].tolist() == ["c"]
    still_taken = pd.concat([training, interactions_of({"w": ["a"], "x": ["b"]}, {"w": [100 * DAY], "x": [100 * DAY]})])
    for normalization in ("cosine", "pmi"):
        found = neighbors_of(still_taken, config.model_copy(update={"normalization": normalization}))
        assert found["item_id"].tolist() == ["c"]


def test_no_training_gives_no_neighbors(neighbors_of):
    for rows in (interactions_of({"u": ["a"]}), interactions_of({"u": ["a"]}).iloc[:0]):
        found = neighbors_of(rows, CONFIG)
        assert found.empty
        assert found.columns.tolist() == NEIGHBORS.names
