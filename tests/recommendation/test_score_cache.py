import pytest

from mmsra_pipeline.recommendation.score_cache import KeptScores
from mmsra_pipeline.storage.keyed_cache import KeyedCache

SCORES = [(0.1, 0.9), (-1 / 3, 1.0)]


def known(file) -> list[str]:
    with KeyedCache(file) as cache:
        return list(cache)


def test_what_several_scorings_asked_for_stays_and_the_rest_goes_at_the_end(tmp_path):
    file = tmp_path / "scores.sqlite"
    with KeptScores(file) as kept:
        for key in "abc":
            assert kept.get(key) is None
            kept.put(key, SCORES)
    with KeptScores(file) as kept:
        assert kept.get("a") == SCORES
        assert kept.get("d") is None
        assert kept.get("c") == SCORES
        assert known(file) == ["a", "b", "c"]
    assert known(file) == ["a", "c"]


def test_a_scoring_that_breaks_off_drops_nothing(tmp_path):
    file = tmp_path / "scores.sqlite"
    with KeptScores(file) as kept:
        kept.get("a")
        kept.put("a", SCORES)
    with pytest.raises(KeyboardInterrupt):
        break_off(file)
    assert known(file) == ["a", "b"]


def break_off(file) -> None:
    with KeptScores(file) as kept:
        kept.get("b")
        kept.put("b", SCORES)
        raise KeyboardInterrupt
