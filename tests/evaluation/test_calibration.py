import numpy as np
import pytest
import sklearn.metrics

from mmsra_pipeline.evaluation.calibration import calibration, equal_count_bins, equal_width_bins, reliability


def drawn(shift: float = 0.0, rows: int = 20_000):
    """Probabilities, and what happened where their logits were off by ``shift``."""
    generator = np.random.default_rng(0)
    logits = generator.normal(-2, 1, rows)
    happened = generator.random(rows) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-(logits + shift))), happened


def test_probabilities_that_hold_are_hardly_off_and_others_are():
    right, wrong = calibration(*drawn()), calibration(*drawn(shift=1.5))
    assert right.ece < 0.02
    assert right.ece_equal_width < 0.01
    assert wrong.ece > 0.15
    assert wrong.ece_equal_width > 0.15
    assert wrong.brier > right.brier
    assert right.mean_p == pytest.approx(right.share, abs=0.01)
    assert wrong.mean_p > wrong.share + 0.15


def test_the_measures_are_worked_by_hand():
    p, happened = np.repeat([0.05, 0.15, 0.8], [4, 4, 2]), np.array([0, 0, 0, 1, 0, 0, 0, 0, 1, 1], dtype=bool)
    found = calibration(p, happened)
    expected = (4 * abs(0.05 - 0.25) + 4 * 0.15 + 2 * 0.2) / 10
    assert found.ece == pytest.approx(expected)
    assert found.ece_equal_width == pytest.approx(expected)  # the same three groups
    assert found.n == 10


def test_brier_agrees_with_scikit_learn():
    p, happened = drawn(rows=500)
    assert calibration(p, happened).brier == pytest.approx(sklearn.metrics.brier_score_loss(happened, p))


def test_bins_of_equal_count_keep_equal_p_together():
    p = np.random.default_rng(1).random(1000)
    assert np.bincount(equal_count_bins(p)).tolist() == [100] * 10 or np.ptp(np.bincount(equal_count_bins(p))) <= 2
    same = np.repeat([0.2, 0.4], 50)
    assert len(np.unique(equal_count_bins(same)[:50])) == 1
    assert equal_count_bins(np.full(30, 0.3)).tolist() == [0] * 30


def test_bins_of_equal_width_hold_1_in_the_last():
    assert equal_width_bins(np.array([0.0, 0.05, 0.1, 0.95, 1.0])).tolist() == [0, 0, 1, 9, 9]


def test_reliability_tells_what_was_said_and_what_happened_in_each_bin():
    p, happened = drawn()
    table = reliability(p, happened)
    assert table.columns.tolist() == ["bin", "n", "mean_p", "share", "low", "high"]
    assert table["n"].sum() == len(p)
    assert (np.diff(table["mean_p"]) > 0).all()
    assert (np.average(table["share"], weights=table["n"])) == pytest.approx(happened.mean())
    inside = (table["low"] <= table["mean_p"]) & (table["mean_p"] <= table["high"])
    assert inside.sum() >= 8
    none = reliability(np.full(50, 0.01), np.zeros(50, dtype=bool)).iloc[0]
    assert none["low"] == 0
    assert 0.02 < none["high"] < 0.1


def test_of_nothing_nothing_is_measured():
    found = calibration(np.empty(0), np.empty(0, dtype=bool))
    assert found.n == 0
    assert np.isnan(found.ece)
    assert reliability(np.empty(0), np.empty(0, dtype=bool)).empty


def test_what_is_no_probability_is_refused():
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="not from 0 to 1"):
            calibration(np.array([wrong]), np.array([True]))
