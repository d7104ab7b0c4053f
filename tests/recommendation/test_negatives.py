from collections import Counter

import numpy as np
import pytest
from recommendation.shop import EVENTS, sequences

from mmsra_pipeline.config.tree import NegativeShares
from mmsra_pipeline.recommendation.negatives import NegativeSampler, interacted_items

COUNTS = {"a": 8, "b": 2, "c": 5, "d": 5}
MANY = {f"i{number:03}": 1 + number % 7 for number in range(200)}
TOP = [f"i{number:03}" for number in range(10)]  # of the first stage


def sampler(counts=COUNTS, interacted=None, vectors=None, **shares: float) -> NegativeSampler:
    chosen = NegativeShares(**{"uniform": 0.0, "popularity": 0.0, "first_stage": 0.0, **shares})
    return NegativeSampler(counts, interacted or {}, chosen, vectors=vectors, rng=np.random.default_rng(0))


def test_what_a_user_took_in_any_split_is_known():
    assert interacted_items(sequences())["u1"] == {"mug", "pot", "ball", "lamp", "bag"}


def test_what_a_user_took_last_is_known_without_a_serve_row():
    queries = sequences()
    assert "bag" in interacted_items(queries[queries["split"] != "serve"])["u1"]


@pytest.mark.parametrize("kind", ["uniform", "popularity", "first_stage"])
def test_negatives_are_never_items_that_the_user_took_in_any_split(kind):
    interacted = interacted_items(sequences())
    items = dict.fromkeys(["mug", "pot", "ball", "lamp", "bag", "shirt", "chair", "cup"], 3)
    draw = sampler(items, interacted, **{kind: 1.0})
    for user, events in EVENTS.items():
        own = {item for _, item in events}
        found = {item for _ in range(100) for item in draw.draw(user, 2, first_stage=sorted(items))}
        assert found == set(items) - own


def test_negatives_of_one_draw_differ_and_end_when_none_is_left():
    assert sorted(sampler(interacted={"u": frozenset("a")}, uniform=1.0).draw("u", 9)) == ["b", "c", "d"]
    assert sampler(interacted={"u": frozenset("abcd")}, popularity=1.0).draw("u", 1) == []
    assert sorted(sampler(first_stage=1.0).draw("u", 9, first_stage="cb")) == ["a", "b", "c", "d"]


def test_by_popularity_an_item_of_four_times_the_count_comes_four_times_as_often():
    draw = sampler(popularity=1.0)
    drawn = [draw.draw("u", 1)[0] for _ in range(2000)]
    assert abs(drawn.count("a") / 2000 - 0.4) < 0.03  # three standard errors
    assert abs(drawn.count("b") / 2000 - 0.1) < 0.02


def test_uniform_draws_do_not_mind_popularity():
    draw = sampler(uniform=1.0)
    drawn = [draw.draw("u", 1)[0] for _ in range(2000)]
    assert all(abs(drawn.count(item) / 2000 - 0.25) < 0.03 for item in "abcd")


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_draws_come_of_each_kind_by_its_share(scale):
    # An item of a million users is what popularity draws, and no other kind does.
    counts = {**MANY, "star": 10**6}
    draw = sampler(counts, uniform=0.4 * scale, popularity=0.25 * scale, first_stage=0.35 * scale)
    drawn = Counter(
        "first stage" if item == "i007" else "popular" if item == "star" else "uniform"
        for _ in range(6000)
        for item in draw.draw("u", 1, first_stage=["i007"])  # which comes otherwise once in 400
    )
    assert abs(drawn["uniform"] / 6000 - 0.4) < 0.02  # three standard errors
    assert abs(drawn["popular"] / 6000 - 0.25) < 0.02
    assert abs(drawn["first stage"] / 6000 - 0.35) < 0.02


def test_draws_from_the_first_stage_are_spread_over_it():
    draw = sampler(MANY, first_stage=1.0)
    drawn = Counter(item for _ in range(5000) for item in draw.draw("u", 1, first_stage=TOP))
    assert set(drawn) == set(TOP)
    assert all(abs(count / 5000 - 0.1) < 0.015 for count in drawn.values())


def test_an_item_that_nobody_took_is_not_drawn_from_the_first_stage_either():
    draw = sampler(first_stage=1.0)
    assert {draw.draw("u", 1, first_stage=["new", "b", "c"])[0] for _ in range(100)} == {"b", "c"}
    assert {draw.draw("u", 1, first_stage=["new"])[0] for _ in range(100)} == set("abcd")


def test_without_a_first_stage_its_share_is_drawn_uniformly():
    draw = sampler(first_stage=1.0)
    drawn = [draw.draw("u", 1)[0] for _ in range(2000)]
    assert all(abs(drawn.count(item) / 2000 - 0.25) < 0.03 for item in "abcd")


@pytest.mark.parametrize("kind", ["uniform", "popularity", "first_stage"])
def test_no_near_duplicate_of_the_positive_is_drawn(kind):
    angles = {"target": 0.0, "a": 0.1, "b": 0.4, "c": -0.2, "d": 1.5}  # cosines 1, 0.995, 0.92, 0.98, 0.07
    vectors = {item: np.array([np.cos(angle), np.sin(angle)]) for item, angle in angles.items()}
    draw = sampler(vectors=vectors, near_duplicate=0.95, **{kind: 1.0})
    found = {item for _ in range(100) for item in draw.draw("u", 3, target="target", first_stage="abcd")}
    assert found == {"b", "d"}
    # Without a positive, or where one of both has no vector, all may be drawn.
    assert {item for _ in range(100) for item in draw.draw("u", 1, first_stage="abcd")} == set("abcd")
    assert {item for _ in range(100) for item in draw.draw("u", 1, target="x", first_stage="abcd")} == set("abcd")


def test_a_user_who_took_nearly_all_there_is_gets_the_rest():
    interacted = {"u": frozenset(sorted(MANY)[:-2])}
    assert sorted(sampler(MANY, interacted, uniform=1.0).draw("u", 5)) == sorted(MANY)[-2:]


def test_items_that_training_never_saw_come_by_their_own_share_and_not_what_the_user_took():
    draw = sampler(interacted={"u": frozenset({"n1"}), "v": frozenset({"n2", "n3", "a"})}, uniform=1.0)
    drawn = Counter(item for _ in range(4000) for item in draw.draw("u", 1, new_share=0.3))
    new = drawn["n2"] + drawn["n3"]
    assert drawn["n1"] == 0
    assert new / 4000 == pytest.approx(0.3 * 2 / 3, abs=0.02)  # a third of them is refused, and drawn from the others
    assert set(draw.draw("u", 4)) == set(COUNTS)
