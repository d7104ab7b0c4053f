"""Measures of a model's answers, worked by hand."""

import math

import pandas as pd
import pytest

from mmsra_pipeline.evaluation.answers import Answers


def lists_of(*lists, protocol="uniform", mass=1.0):
    """One list a user, the target first: its logits."""
    rows = [
        (protocol, f"u{user}", 3, place == 0, float(logit), mass)
        for user, logits in enumerate(lists)
        for place, logit in enumerate(logits)
    ]
    return pd.DataFrame(rows, columns=["protocol", "user_id", "position", "is_target", "logit", "mass"])


def passed(answers):
    return {name: found[0] for name, found in answers.checks().items()}


def test_what_is_sound_passes():
    found = Answers.of(lists_of([3, 1, 2], [0, -1, 1]))
    # The target of the first list beats both negatives, that of the second one of two.
    assert found == Answers(mass=1.0, tied=0.0, auc=0.75)
    assert found.values() == {"answer_mass": 1.0, "tie_rate": 0.0, "validation_auc": 0.75}
    assert passed(found) == {"answers_are_words": True, "few_ties": True, "not_inverted": True}


def test_answers_that_are_mostly_other_words_are_reported():
    lists = pd.concat([lists_of([1, 0], mass=0.2), lists_of([1, 0], protocol="served", mass=0.6)])
    found = Answers.of(lists)
    assert found.mass == pytest.approx(0.4)  # of all lists
    assert passed(found) == {"answers_are_words": False, "few_ties": True, "not_inverted": True}
    assert "Yes and No have 40.0% of the probability" in found.checks()["answers_are_words"][1]
    assert passed(Answers.of(lists_of([1, 0], mass=0.5)))["answers_are_words"]


def test_lists_whose_target_is_tied_with_a_negative_are_reported():
    untied = [[1, 0]] * 19
    found = Answers.of(lists_of([1, 1, 0], *untied))
    assert found.tied == pytest.approx(1 / 20)
    assert passed(found)["few_ties"]
    found = Answers.of(lists_of([1, 1, 0], [2, 2, 2], *untied[:18]))
    assert found.tied == pytest.approx(2 / 20)
    assert passed(found) == {"answers_are_words": True, "few_ties": False, "not_inverted": True}
    assert "in 10.0% of the lists" in found.checks()["few_ties"][1]


def test_negatives_that_are_tied_with_each_other_are_no_tie():
    assert Answers.of(lists_of([1, 0, 0, 2, 2])).tied == 0


def test_scores_that_rank_upside_down_are_reported():
    found = Answers.of(lists_of([0, 1, 2, 3], [5, 4, 6, 7]))
    assert found.auc == pytest.approx((0 + 1 / 3) / 2)
    assert passed(found) == {"answers_are_words": True, "few_ties": True, "not_inverted": False}
    assert "AUC on validation lists is 0.167" in found.checks()["not_inverted"][1]


def test_one_answer_for_all_is_tied_and_not_inverted():
    found = Answers.of(lists_of([1, 1, 1], [0, 0, 0]))
    assert found == Answers(mass=1.0, tied=1.0, auc=0.5)
    assert passed(found)["not_inverted"]


def test_only_lists_of_uniform_negatives_tell_ties_and_inversion():
    lists = pd.concat([lists_of([2, 1]), *(lists_of([0, 0, 1], protocol=name) for name in ("popularity", "served"))])
    assert Answers.of(lists) == Answers(mass=1.0, tied=0.0, auc=1.0)


def test_without_such_lists_the_mass_alone_is_measured_and_nothing_else_fails():
    found = Answers.of(lists_of([0, 1], protocol="served", mass=0.9))
    assert math.isnan(found.tied)
    assert math.isnan(found.auc)
    assert found.values() == {"answer_mass": pytest.approx(0.9)}
    assert passed(found) == {"answers_are_words": True, "few_ties": True, "not_inverted": True}
