import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.config.tree import STATED
from mmsra_pipeline.recommendation.evidence_model import EvidenceModel, fit_evidence


def drawn_lists(lists: int, rule, seed: int = 0):
    """Training lists of 8 candidates whose target is drawn by ``rule`` of their classes."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"list_id": np.repeat([f"q{number}" for number in range(lists)], 8)})
    for slot in ("sequence", "taste"):
        frame[f"class_{slot}"] = generator.integers(0, 10, len(frame))
    scores = rule(frame) + generator.gumbel(size=len(frame))
    frame["is_target"] = scores == scores.groupby(frame["list_id"]).transform("max")
    return frame


def test_planted_coefficients_come_back():
    model = fit_evidence(drawn_lists(4000, lambda rows: 3 * rows["class_sequence"] / 9), ["sequence", "taste"])
    assert model.slots == ("sequence", "taste")
    np.testing.assert_allclose(model.weights, [3, 0, 0, 0], atol=0.25)


def test_class_0_has_a_say_of_its_own_for_it_means_that_nothing_is_known():
    lists = drawn_lists(4000, lambda rows: 2 * rows["class_sequence"] / 9 + 1.5 * (rows["class_sequence"] == 0))
    model = fit_evidence(lists, ["sequence"])
    np.testing.assert_allclose(model.weights, [2, 1.5], atol=0.25)
    scores = model.score(pd.DataFrame({"class_sequence": [0, 1, 9]}))
    np.testing.assert_allclose(scores, [model.weights[1], model.weights[0] / 9, model.weights[0]])


def test_a_score_is_the_same_among_few_items_and_among_many():
    generator = np.random.default_rng(0)
    for size in range(50, 700, 13):
        model = EvidenceModel(STATED, tuple(generator.normal(size=2 * len(STATED))))
        classes = {slot: generator.integers(0, 10, size) for slot in STATED}
        every = model.of_classes(classes)
        for count in (1, 2, 5, 8, 21):
            some = generator.choice(size, count)
            own = model.of_classes({slot: values[some] for slot, values in classes.items()})
            np.testing.assert_array_equal(own, every[some])


def test_a_saved_model_comes_back(tmp_path):
    model = EvidenceModel(("taste", "sequence"), (0.1, -2.0, 1 / 3, 0.0))
    model.save(tmp_path)
    assert EvidenceModel.load(tmp_path) == model


def test_only_the_stated_slots_are_read():
    lists = drawn_lists(200, lambda rows: 3 * rows["class_taste"] / 9)
    assert fit_evidence(lists.drop(columns="class_taste"), ["sequence"]) == fit_evidence(lists, ["sequence"])


def test_a_prompt_without_evidence_scores_all_alike():
    model = fit_evidence(drawn_lists(20, lambda rows: 0 * rows["class_taste"]), ())
    assert model == EvidenceModel((), ())
    assert model.score(pd.DataFrame({"class_taste": [1, 2]})).tolist() == [0, 0]


def test_the_regularization_draws_towards_nothing():
    lists = drawn_lists(50, lambda rows: 3 * rows["class_sequence"] / 9)
    weak, strong = (fit_evidence(lists, ["sequence"], strength).weights for strength in (0.1, 100.0))
    assert abs(strong[0]) < 0.5 * abs(weak[0])


def test_a_training_list_without_its_target_is_refused():
    lists = drawn_lists(3, lambda rows: 0 * rows["class_taste"])
    with pytest.raises(ValueError, match="has 0 targets"):
        fit_evidence(lists.assign(is_target=False), ["taste"])
