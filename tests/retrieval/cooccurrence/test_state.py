import logging
from collections.abc import Iterator

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retrieval.histories import interactions_of, random_training

from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.retrieval.cooccurrence.neighbors import cooccurrence_neighbors, neighbors
from mmsra_pipeline.retrieval.cooccurrence.state import update_counts
from mmsra_pipeline.retrieval.times import HOUR

CONFIG = CooccurrenceConfig(min_users=1)
USERS, ITEMS = [f"u{number}" for number in range(6)], [f"i{number}" for number in range(7)]
ALWAYS_GO_ON = 1e9
Histories = dict[str, list[tuple[str, int]]]  # items and hours of each user

HISTORY = st.lists(st.sampled_from(ITEMS), max_size=6, unique=True).flatmap(
    lambda items: st.lists(st.integers(0, 20), min_size=len(items), max_size=len(items)).map(
        lambda hours: list(zip(items, sorted(hours), strict=True))
    )
)
CONFIGS = st.builds(
    CooccurrenceConfig,
    window=st.sampled_from([1, 2, 20, None]),
    session_hours=st.sampled_from([None, 3]),
    normalization=st.sampled_from(["cosine", "lift", "pmi"]),
    user_weight=st.sampled_from(["none", "inverse_length"]),
    min_users=st.sampled_from([1, 2]),
    neighbors_per_item=st.sampled_from([2, 20]),
)


class Runs:
    """Runs one after the other, each going on from the state of the one before."""

    def __init__(self, root) -> None:
        self.root = root
        self.number = 0
        self.last = None

    def update(self, rows, config=CONFIG, **asked) -> tuple[pd.DataFrame, int]:
        """The neighbors, and how many users were read pair by pair."""
        self.number += 1
        folder = self.root / f"{self.number}"
        folder.mkdir()
        with duckdb.connect(config={"threads": 2}) as connection:
            counts = update_counts(connection, rows, config, folder, last=self.last, **asked)
            found = neighbors(connection, counts, config).read_all().to_pandas()
        self.last = folder
        return found, counts.counted_users


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path)


def anew(rows, config=CONFIG, **asked) -> pd.DataFrame:
    with duckdb.connect(config={"threads": 2}) as connection:
        return cooccurrence_neighbors(connection, rows, config, **asked).read_all().to_pandas()


def rows_of(histories: Histories) -> pd.DataFrame:
    items = {user: [item for item, _ in history] for user, history in histories.items()}
    return interactions_of(items, {user: [hour * HOUR for _, hour in history] for user, history in histories.items()})


@st.composite
def courses(draw) -> list[Histories]:
    """Some states of the histories of all users, each with a few changes to the one before."""
    course: list[Histories] = [{user: draw(HISTORY) for user in USERS}]
    for _ in range(draw(st.integers(1, 3))):
        histories = dict(course[-1])
        for user in draw(st.lists(st.sampled_from(USERS), max_size=3, unique=True)):
            history = histories[user]
            change = draw(st.sampled_from(["append", "delete", "replace", "remove", "later"]))
            new = [item for item in ITEMS if item not in dict(history)]
            if change == "append" and new:
                histories[user] = [*history, (draw(st.sampled_from(new)), history[-1][1] if history else 0)]
            elif change == "delete" and history:
                histories[user] = [row for row in history if row != draw(st.sampled_from(history))]
            elif change == "later":
                histories[user] = [(item, hour + 4 * place) for place, (item, hour) in enumerate(history)]
            else:
                histories[user] = draw(HISTORY) if change == "replace" else []
        course.append(histories)
    return course


def changed_users(one: Histories, other: Histories, before: int | None) -> int:
    def seen(histories: Histories, user: str) -> Iterator[tuple[str, int]]:
        return ((item, hour) for item, hour in histories[user] if before is None or hour * HOUR < before)

    return sum(list(seen(one, user)) != list(seen(other, user)) for user in USERS)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=courses(), config=CONFIGS, before=st.sampled_from([None, 12 * HOUR]))
def test_going_on_gives_the_table_of_counting_anew_and_reads_changed_users_only(
    tmp_path_factory, course, config, before
):
    runs = Runs(tmp_path_factory.mktemp("runs"))
    previous = None
    for histories in course:
        rows = rows_of(histories)
        found, read = runs.update(rows, config, before=before, anew_above=ALWAYS_GO_ON)
        pd.testing.assert_frame_equal(found, anew(rows, config, before=before), check_exact=True)
        if previous is not None:
            assert read == changed_users(previous, histories, before)
        previous = histories


def appended(training: pd.DataFrame, user: str, item: str) -> pd.DataFrame:
    own = training[training["user_id"] == user]
    row = own.iloc[-1:].assign(item_id=item, position=len(own), timestamp=own["timestamp"].max() + 1)
    return pd.concat([training, row], ignore_index=True)


def test_an_appended_interaction_reads_its_user_alone_and_says_so(runs, caplog):
    training = random_training()
    assert runs.update(training)[1] == 40
    grown = appended(appended(training, "u3", "new"), "u7", "new")
    with caplog.at_level(logging.INFO):
        found, read = runs.update(grown)
    assert read == 2
    assert "read the rows of 2 users pair by pair" in caplog.text
    pd.testing.assert_frame_equal(found, anew(grown), check_exact=True)
    assert "new" in set(found["neighbor_id"])
    assert runs.update(grown)[1] == 0  # the state is of the grown rows


def test_another_cut_reads_only_those_who_did_something_in_between(runs):
    training = random_training()
    runs.update(training, before=20)
    between = training[(training["timestamp"] >= 20) & (training["timestamp"] < 22)]["user_id"].nunique()
    found, read = runs.update(training, before=22, anew_above=ALWAYS_GO_ON)
    assert 0 < between == read < 40
    pd.testing.assert_frame_equal(found, anew(training, before=22), check_exact=True)


def test_too_many_changed_rows_are_counted_anew(runs):
    training = random_training()
    runs.update(training)
    other = pd.concat([training[training["user_id"] < "u2"], random_training(seed=9).query("user_id >= 'u2'")])
    found, read = runs.update(other)
    assert read == 40
    pd.testing.assert_frame_equal(found, anew(other), check_exact=True)


def test_other_settings_that_sums_depend_on_are_counted_anew_others_are_not(runs):
    training = random_training()
    runs.update(training)
    for change, expected in [
        ({"normalization": "lift", "min_users": 2, "neighbors_per_item": 1}, 0),
        ({"window": 3}, 40),
        ({"window": 3, "session_hours": 1e-6}, 40),
        ({"window": 3, "session_hours": 1e-6, "user_weight": "inverse_length"}, 40),
    ]:
        config = CONFIG.model_copy(update=change)
        found, read = runs.update(training, config)
        assert read == expected, change
        pd.testing.assert_frame_equal(found, anew(training, config), check_exact=True)


def test_with_a_half_life_every_run_counts_anew(runs):
    training = random_training()
    config = CONFIG.model_copy(update={"half_life_days": 1e-7})
    for rows in (training, appended(training, "u3", "new")):
        found, read = runs.update(rows, config)
        assert read == 40
        pd.testing.assert_frame_equal(found, anew(rows, config), check_exact=True)
    assert runs.update(training)[1] == 40  # a run without goes not on from one with a half-life


def test_users_and_items_that_are_gone_leave_nothing_in_the_state(runs):
    training = random_training()
    config = CONFIG.model_copy(update={"normalization": "lift", "user_weight": "inverse_length"})
    runs.update(training, config)
    fewer = training[(training["user_id"] != "u3") & (training["item_id"] != "i05")]
    found, read = runs.update(fewer, config, anew_above=ALWAYS_GO_ON)
    assert 0 < read < 40
    pd.testing.assert_frame_equal(found, anew(fewer, config), check_exact=True)
    for name, ids in (("users", "user_id"), ("items", "item_id")):
        kept = pd.read_parquet(runs.last / f"{name}.parquet")[ids]
        assert set(kept) == set(fewer[ids])
    assert (pd.read_parquet(runs.last / "pairs.parquet")["users"] > 0).all()
    found, _ = runs.update(training, config, anew_above=ALWAYS_GO_ON)
    pd.testing.assert_frame_equal(found, anew(training, config), check_exact=True)
