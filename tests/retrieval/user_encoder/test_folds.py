import numpy as np
import pandas as pd
import pytest
from retrieval.histories import CIRCLE, TINY, Interrupted, Recorder, cycles, interactions_of, sequences_of

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.retrieval.user_encoder import folds as module
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder, fold_of, train_folded
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.retrieval.user_encoder.training import catalogue_ndcg, train_encoder
from mmsra_pipeline.telemetry.tracking import NullTracker

THREE = TINY.model_copy(update={"folds": 3, "dropout": 0.3, "epochs": 4, "patience": 4})
SECRET = [f"s{number}" for number in range(6)]  # what the planted user alone takes
WALK = CIRCLE[:3]


def vectors(encoder: FoldedEncoder) -> np.ndarray:
    return np.stack([one.embed([WALK])[0] for one in (encoder.full, *encoder.folds)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    encoder, _ = train_folded(cycles(), THREE, 7, tmp_path_factory.mktemp("whole"), NullTracker())
    return encoder


def test_folds_are_even_and_depend_on_user_number_and_seed_alone():
    users = [f"user {number}" for number in range(3000)]
    dealt = np.array([fold_of(user, 5, 0) for user in users])
    assert (np.abs(np.bincount(dealt) - 600) < 100).all()
    assert len(np.bincount(dealt)) == 5
    assert np.mean(dealt == [fold_of(user, 5, 1) for user in users]) == pytest.approx(0.2, abs=0.05)
    assert [fold_of(user, 5, 0) for user in ("ann", "dan", "ä")] == [3, 2, 4]  # in every process, on every machine


def planted() -> pd.DataFrame:
    secret = sequences_of(interactions_of({"planted": SECRET}))
    return pd.concat([cycles(split_last=False), secret], ignore_index=True)


def secret_shares(encoder: UserEncoder) -> np.ndarray:
    """The probability of each of the planted user's next items."""
    scores = encoder.score_all([SECRET[:known] for known in range(1, 6)]).astype(float)
    wanted = [encoder.items.index(item) for item in SECRET[1:]]
    return np.exp(scores[np.arange(5), wanted]) / np.exp(scores).sum(axis=1)


def test_a_training_user_is_answered_by_an_encoder_that_has_not_seen_it(tmp_path):
    config = TINY.model_copy(update={"folds": 3, "dim": 16, "epochs": 12, "batch_size": 8, "learning_rate": 0.02})
    encoder, _ = train_folded(planted(), config, 0, tmp_path, NullTracker())
    own = encoder.for_training("planted")
    assert own is encoder.folds[fold_of("planted", 3, 0)]
    asked, targets = [SECRET[:known] for known in range(1, 6)], SECRET[1:]
    for one in (encoder.full, *encoder.folds):
        learned = catalogue_ndcg(one, asked, targets), secret_shares(one).min()
        if one is own:
            assert learned[0] < 0.5
            assert secret_shares(one).max() < 0.1
        else:
            assert learned[0] == 1
            assert learned[1] > 0.2
    # What other users took too it knows.
    assert catalogue_ndcg(own, [CIRCLE[:5]], [CIRCLE[5]]) == 1


def test_each_fold_is_trained_on_the_training_rows_of_the_other_users(tmp_path, monkeypatch):
    trainings = []

    def noted(training, validation, config, seed, workdir, tracker, what):
        trainings.append((training, len(validation), config.epochs, seed, workdir, what))
        return None, None

    curve = pd.DataFrame({"epoch": [1, 2, 3], "loss": 0.0, "ndcg@10": [0.1, 0.3, 0.2]})
    full = train_encoder(planted(), TINY, 0, tmp_path, NullTracker())[0]
    monkeypatch.setattr(module, "train_encoder", lambda *_: (full, curve))
    monkeypatch.setattr(module, "fit", noted)
    sequences = planted()
    train_folded(sequences, THREE, 7, tmp_path, NullTracker())
    assert [(rows, epochs, what) for _, rows, epochs, _, _, what in trainings] == [
        (0, 2, f"user encoder fold {number}/3") for number in (1, 2, 3)
    ]
    assert [workdir.name for *_, workdir, _ in trainings] == ["fold_0", "fold_1", "fold_2"]
    assert len({seed for *_, seed, _, _ in trainings} | {7}) == 4
    for number, (training, *_) in enumerate(trainings):
        rows = sequences[sequences["split"] == "train"]
        others = rows[rows["user_id"].map(lambda user: fold_of(user, 3, 7)) != number]
        assert training.items == full.items
        assert training.targets == len(others)
        assert len(training.sizes) == others["user_id"].nunique()


def test_a_run_that_was_stopped_within_a_fold_ends_as_one_that_was_not(tmp_path, trained):
    last = len(train_encoder(cycles(), THREE, 7, tmp_path / "full", NullTracker())[1])
    with pytest.raises(Interrupted):
        train_folded(cycles(), THREE, 7, tmp_path / "stopped", Recorder(stop_at=2, name="fold_1/loss"))
    tracker = Recorder()
    resumed, _ = train_folded(cycles(), THREE, 7, tmp_path / "stopped", tracker)
    steps = [(names[0].partition("/")[0], step) for step, names in tracker.steps]
    epochs = max(step for _, step in steps)
    assert epochs <= last
    # The full encoder and the first fold were done; of the second one epoch was saved.
    assert steps == [(f"fold_{fold}", step) for fold in (1, 2) for step in range(2 if fold == 1 else 1, epochs + 1)]
    assert (vectors(resumed) == vectors(trained)).all()


def test_the_metrics_of_a_fold_have_its_name_and_no_ndcg(tmp_path):
    tracker = Recorder()
    train_folded(cycles(), THREE.model_copy(update={"epochs": 1, "folds": 2}), 0, tmp_path, tracker)
    assert tracker.steps == [
        (1, ["loss", "ndcg@10", "targets_per_second"]),
        (1, ["fold_0/loss", "fold_0/targets_per_second"]),
        (1, ["fold_1/loss", "fold_1/targets_per_second"]),
    ]


def test_the_same_seed_gives_the_same_encoders_each_its_own(tmp_path, trained):
    again, _ = train_folded(cycles().sample(frac=1, random_state=3), THREE, 7, tmp_path, NullTracker())
    assert (vectors(again) == vectors(trained)).all()
    assert len(np.unique(vectors(trained), axis=0)) == 4
    assert all(one.items == trained.full.items for one in trained.folds)


def test_the_full_encoder_is_the_one_without_folds(tmp_path, trained):
    alone, _ = train_folded(cycles(), THREE.model_copy(update={"folds": None}), 7, tmp_path, NullTracker())
    assert alone.folds == []
    assert (alone.full.embed([WALK]) == trained.full.embed([WALK])).all()
    assert alone.for_training("u00") is alone.full


def test_all_training_users_in_one_fold_is_an_error_that_names_the_setting(tmp_path):
    sequences = cycles()
    one = sequences[sequences["user_id"] == "u00"]
    with pytest.raises(DataError, match=r"all 1 training users are in one of 3 folds.*Unset `retrieval.encoder.folds`"):
        train_folded(one, THREE, 7, tmp_path, NullTracker())


def test_scores_come_from_the_encoder_of_each_query_in_the_order_of_the_queries(trained):
    users = ["u00", "u01", "u02", "u03", "u04", "u00", "stranger"]
    histories = [CIRCLE[start : start + 2] for start in range(7)]
    training = np.array([True, True, False, True, True, False, True])
    expected = np.stack(
        [
            (trained.for_training(user) if asked else trained.full).score_all([history])[0]
            for user, history, asked in zip(users, histories, training)
        ]
    )
    assert len({fold_of(user, 3, 7) for user in users}) == 3
    found = trained.scores_by_query(users, histories, training)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = FoldedEncoder(trained.full).scores_by_query(users, histories, training)
    np.testing.assert_allclose(alone, trained.full.score_all(histories), atol=1e-5)
    assert trained.scores_by_query([], [], np.array([], dtype=bool)).shape == (0, 24)


def test_saved_encoders_are_read_back_and_the_full_one_by_itself(tmp_path, trained):
    trained.save(tmp_path)
    loaded = FoldedEncoder.load(tmp_path)
    assert (vectors(loaded) == vectors(trained)).all()
    for user in ("u00", "u01", "u02", "u03", "u04"):
        assert loaded.folds.index(loaded.for_training(user)) == trained.folds.index(trained.for_training(user))
    assert (UserEncoder.load(tmp_path).embed([WALK]) == trained.full.embed([WALK])).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "encoder.json", "fold_0", "fold_1", "fold_2", "folds.json", "model.safetensors",
    ]  # fmt: skip


def test_a_folder_without_folds_is_read_and_a_missing_fold_is_named(tmp_path, trained):
    trained.full.save(tmp_path / "alone")
    assert FoldedEncoder.load(tmp_path / "alone").folds == []
    FoldedEncoder(trained.full).save(tmp_path / "none")
    assert FoldedEncoder.load(tmp_path / "none").folds == []
    trained.save(tmp_path / "torn")
    (tmp_path / "torn" / "fold_1" / "model.safetensors").unlink()
    with pytest.raises(MissingInputError, match=r"fold_1 holds no user encoder"):
        FoldedEncoder.load(tmp_path / "torn")
