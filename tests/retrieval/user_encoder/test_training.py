import math

import numpy as np
import pandas as pd
import pytest
import torch
from retrieval.histories import CIRCLE as ITEMS
from retrieval.histories import TINY, Interrupted, Recorder, cycles, query, random_encoder

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.retrieval.user_encoder import training as encoder_training
from mmsra_pipeline.retrieval.user_encoder.training import best_epoch, catalogue_ndcg, train_encoder
from mmsra_pipeline.telemetry.tracking import NullTracker


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("sasrec", "catalogue"),
        ("sasrec", "bce"),
        ("sasrec", "gbce"),
        ("sasrec", "softmax"),
        ("gru4rec", "bce"),
        ("gru4rec", "catalogue"),
    ],
)
def test_a_circle_of_items_is_learnt(tmp_path, kind, loss):
    config = TINY.model_copy(
        update={
            "kind": kind,
            "loss": loss,
            "dim": 16,
            "epochs": 20,
            "patience": 20,
            "batch_size": 8,
            "learning_rate": 0.02,
            "negatives": 8,
        }
    )
    encoder, curve = train_encoder(cycles(), config, 0, tmp_path, NullTracker())
    assert curve["ndcg@10"].max() > 0.95
    walks = [[ITEMS[(number + step) % 24] for step in range(4)] for number in range(24)]
    assert catalogue_ndcg(encoder, walks, [ITEMS[(number + 4) % 24] for number in range(24)]) > 0.95


def test_the_curve_has_one_row_per_epoch_and_reaches_the_tracker(tmp_path):
    tracker = Recorder()
    _, curve = train_encoder(cycles(), TINY, 0, tmp_path, tracker)
    assert curve.columns.tolist() == ["epoch", "loss", "ndcg@10"]
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert tracker.steps == [(epoch, ["loss", "ndcg@10", "targets_per_second"]) for epoch in (1, 2, 3)]


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    config = TINY.model_copy(update={"dropout": 0.3, "epochs": 5, "patience": 5})
    whole, curve = train_encoder(cycles(), config, 7, tmp_path / "whole", NullTracker())
    with pytest.raises(Interrupted):
        train_encoder(cycles(), config, 7, tmp_path / "stopped", Recorder(stop_at=3))
    tracker = Recorder()
    resumed, resumed_curve = train_encoder(cycles(), config, 7, tmp_path / "stopped", tracker)
    assert [step for step, _ in tracker.steps] == [3, 4, 5]  # two epochs were saved, the third was not
    pd.testing.assert_frame_equal(resumed_curve, curve)
    assert (resumed.embed([["i00", "i01"]]) == whole.embed([["i00", "i01"]])).all()


def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path):
    train_encoder(cycles(), TINY, 0, tmp_path, NullTracker())
    tracker = Recorder()
    train_encoder(cycles(), TINY.model_copy(update={"learning_rate": 0.5}), 0, tmp_path, tracker)
    assert [step for step, _ in tracker.steps] == [1, 2, 3]


def renamed(sequences: pd.DataFrame, split: str) -> pd.DataFrame:
    """Items i00 and i01 in each other's place, in the rows of a split: as many rows, and as often each code in all."""
    names = {"i00": "i01", "i01": "i00"}
    changed, rows = sequences.copy(), sequences["split"] == split
    changed.loc[rows, "target"] = sequences.loc[rows, "target"].replace(names)
    changed.loc[rows, "history"] = sequences.loc[rows, "history"].map(lambda h: [names.get(item, item) for item in h])
    return changed


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_checkpoint_of_other_sequences_is_not_resumed(tmp_path, split):
    train_encoder(cycles(), TINY, 0, tmp_path, NullTracker())
    tracker = Recorder()
    train_encoder(renamed(cycles(), split), TINY, 0, tmp_path, tracker)
    assert [step for step, _ in tracker.steps] == [1, 2, 3]


def test_a_finished_training_is_not_done_again(tmp_path):
    encoder, curve = train_encoder(cycles(), TINY, 0, tmp_path, NullTracker())
    tracker = Recorder()
    again, curve_again = train_encoder(cycles(), TINY, 0, tmp_path, tracker)
    assert tracker.steps == []
    pd.testing.assert_frame_equal(curve_again, curve)
    assert (again.embed([ITEMS[:3]]) == encoder.embed([ITEMS[:3]])).all()


def test_a_loss_without_bound_is_an_error_that_names_the_setting(tmp_path):
    steep = TINY.model_copy(update={"learning_rate": 1e25})
    with pytest.raises(ConfigError, match=r"loss is (nan|inf) in epoch \d.*Lower `retrieval.encoder.learning_rate`"):
        train_encoder(cycles(), steep, 0, tmp_path, NullTracker())


def test_the_order_of_the_rows_does_not_count(tmp_path):
    expected, _ = train_encoder(cycles(), TINY, 1, tmp_path / "1", NullTracker())
    shuffled, _ = train_encoder(cycles().sample(frac=1, random_state=0), TINY, 1, tmp_path / "2", NullTracker())
    assert (shuffled.embed([ITEMS[:3]]) == expected.embed([ITEMS[:3]])).all()


def test_the_same_seed_gives_the_same_encoder_and_leaves_the_callers_random_state_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, _ = train_encoder(cycles(), TINY, 1, tmp_path / "1", NullTracker())
    assert torch.rand(1) == expected
    second, _ = train_encoder(cycles(), TINY, 1, tmp_path / "2", NullTracker())
    other, _ = train_encoder(cycles(), TINY, 2, tmp_path / "3", NullTracker())
    assert (first.embed([ITEMS[:3]]) == second.embed([ITEMS[:3]])).all()
    assert (first.embed([ITEMS[:3]]) != other.embed([ITEMS[:3]])).any()


def test_the_seed_draws_the_first_weights_too(tmp_path):
    unmoved = TINY.model_copy(update={"learning_rate": 1e-12, "epochs": 1})
    first, _ = train_encoder(cycles(), unmoved, 1, tmp_path / "1", NullTracker())
    other, _ = train_encoder(cycles(), unmoved, 2, tmp_path / "2", NullTracker())
    assert not np.allclose(first.embed([ITEMS[:3]]), other.embed([ITEMS[:3]]))


def test_training_stops_after_patience_epochs_without_a_better_ndcg(tmp_path):
    frozen = TINY.model_copy(update={"learning_rate": 1e-12, "epochs": 50, "patience": 2})
    _, curve = train_encoder(cycles(), frozen, 0, tmp_path, NullTracker())
    assert len(curve) == 3  # the first is the best, two more are no better


def trained_where_validation_says(values, folder, monkeypatch):
    """Train as many epochs as ``values`` says what validation reaches."""
    said = iter(values)
    monkeypatch.setattr(encoder_training, "catalogue_ndcg", lambda *_: next(said))
    config = TINY.model_copy(update={"epochs": len(values), "patience": len(values)})
    encoder, _ = train_encoder(cycles(), config, 0, folder, NullTracker())
    return encoder.embed([ITEMS[:3]])


def test_the_best_epoch_is_given_not_the_last(tmp_path, monkeypatch):
    best_is_second = trained_where_validation_says([0.1, 0.5, 0.2], tmp_path / "1", monkeypatch)
    two_epochs = trained_where_validation_says([0.1, 0.5], tmp_path / "2", monkeypatch)
    best_is_third = trained_where_validation_says([0.1, 0.2, 0.5], tmp_path / "3", monkeypatch)
    assert (best_is_second == two_epochs).all()
    assert (best_is_second != best_is_third).any()


def test_of_equal_epochs_the_first_is_given(tmp_path, monkeypatch):
    all_equal = trained_where_validation_says([0.5, 0.5, 0.5], tmp_path / "1", monkeypatch)
    assert (all_equal == trained_where_validation_says([0.5], tmp_path / "2", monkeypatch)).all()


def test_without_validation_rows_all_epochs_run_and_the_ndcg_is_missing(tmp_path, caplog):
    _, curve = train_encoder(cycles(split_last=False), TINY, 0, tmp_path, NullTracker())
    assert curve["ndcg@10"].isna().tolist() == [True] * 3
    assert "no validation rows" in caplog.text


def test_ndcg_over_the_catalogue_leaves_out_the_history_and_ranks_ties_last():
    encoder = random_encoder(["a", "b", "c", "d"])
    order = [encoder.items[place] for place in np.argsort(-encoder.score_all([["a"]])[0])]
    others = [item for item in order if item != "a"]
    assert catalogue_ndcg(encoder, [["a"]] * 3, others) == pytest.approx((1 + 1 / np.log2(3) + 0.5) / 3)
    assert catalogue_ndcg(encoder, [["?"]], ["a"]) == pytest.approx(1 / np.log2(5))  # zero vector: four ties, rank 4
    assert catalogue_ndcg(encoder, [["a"]], ["unknown"]) == 0
    assert math.isnan(catalogue_ndcg(encoder, [], []))


@pytest.mark.parametrize("value", [0.3, math.nan])
def test_a_model_that_tells_nothing_apart_earns_nothing(value):
    encoder = random_encoder(ITEMS)
    with torch.no_grad():
        encoder.model.items.weight[1:] = value
    assert catalogue_ndcg(encoder, [["i00"], ["i00", "i05"]], ["i01", "i02"]) == 0


def test_a_target_that_the_history_has_is_ranked_last():
    encoder = random_encoder(ITEMS)
    best = encoder.items[int(encoder.score_all([["i00"]])[0].argmax())]
    assert catalogue_ndcg(encoder, [["i00", best]], [best]) == 0


def test_a_user_with_one_target_after_one_item_is_trained_on(tmp_path):
    sequences = pd.concat([cycles(), query("new", ["i00"], None, split="train", target="only")])
    encoder, _ = train_encoder(sequences, TINY, 0, tmp_path, NullTracker())
    assert encoder.items == [*ITEMS, "only"]


def test_a_user_of_one_interaction_is_no_query_and_no_obstacle(tmp_path):
    sequences = pd.concat([cycles(), query("serve", ["i00"], None, split="serve", target=None)])
    encoder, _ = train_encoder(sequences, TINY, 0, tmp_path, NullTracker())
    assert encoder.items == ITEMS


def test_a_catalogue_too_large_for_its_loss_is_sampled_and_the_log_says_so(tmp_path, caplog):
    caplog.set_level("INFO")
    few = TINY.model_copy(update={"loss": "catalogue", "catalogue_items": 23})
    fallen_back, curve = train_encoder(cycles(), few, 0, tmp_path / "1", NullTracker())
    assert caplog.text.count("24 items are more than retrieval.encoder.catalogue_items (23)") == 1
    sampled, expected = train_encoder(
        cycles(), TINY.model_copy(update={"loss": "softmax"}), 0, tmp_path / "2", NullTracker()
    )
    pd.testing.assert_frame_equal(curve, expected)
    assert (fallen_back.embed([ITEMS[:3]]) == sampled.embed([ITEMS[:3]])).all()
    caplog.clear()
    enough = few.model_copy(update={"catalogue_items": 24})
    _, whole = train_encoder(cycles(), enough, 0, tmp_path / "3", NullTracker())
    assert "catalogue_items" not in caplog.text
    assert (whole["loss"] > curve["loss"]).all()  # among 24 items, not 5


def test_the_best_epoch_of_a_curve_is_its_first_with_the_best_ndcg_or_the_last_without():
    curve = pd.DataFrame({"epoch": [1, 2, 3, 4], "loss": 0.0, "ndcg@10": [0.1, 0.4, 0.4, 0.2]})
    assert best_epoch(curve) == 2
    assert best_epoch(curve.assign(**{"ndcg@10": math.nan})) == 4
