import numpy as np
from recommendation.shop import sequences

from mmsra_pipeline.recommendation.negatives import NegativeSampler, taken_items


def sampler(popularity_share: float, taken: dict[str, frozenset[str]] | None = None) -> NegativeSampler:
    return NegativeSampler(
        {"a": 8, "b": 2, "c": 5, "d": 5},
        taken or {},
        popularity_share=popularity_share,
        rng=np.random.default_rng(0),
    )


def test_what_a_user_took_in_any_split_is_known():
    assert taken_items(sequences())["u1"] == {"mug", "pot", "ball", "lamp", "bag"}


def test_what_a_user_took_last_is_known_without_a_serve_row():
    queries = sequences()
    assert "bag" in taken_items(queries[queries["split"] != "serve"])["u1"]


def test_negatives_are_never_items_that_the_user_took():
    draw = sampler(0.5, {"u": frozenset("ab")})
    assert {item for _ in range(50) for item in draw.draw("u", 2)} == {"c", "d"}


def test_negatives_of_one_draw_differ_and_end_when_none_is_left():
    assert sorted(sampler(0.0, {"u": frozenset("a")}).draw("u", 9)) == ["b", "c", "d"]
    assert sampler(1.0, {"u": frozenset("abcd")}).draw("u", 1) == []


def test_by_popularity_an_item_of_four_times_the_count_comes_four_times_as_often():
    draw = sampler(1.0)
    drawn = [draw.draw("u", 1)[0] for _ in range(2000)]
    assert abs(drawn.count("a") / 2000 - 0.4) < 0.03  # three standard errors
    assert abs(drawn.count("b") / 2000 - 0.1) < 0.02


def test_uniform_draws_do_not_mind_popularity():
    draw = sampler(0.0)
    drawn = [draw.draw("u", 1)[0] for _ in range(2000)]
    assert all(abs(drawn.count(item) / 2000 - 0.25) < 0.03 for item in "abcd")
