import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.checks.again import stored_checks
from mmsra_pipeline.orchestration.checks.trainings import loss_is_finite, moves, vectors_differ
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder
from mmsra_pipeline.storage.paths import Paths


def results(tmp_path, asset, **columns):
    stage = Stage(asset, "shop", "", "", Config(), Paths(tmp_path))
    stage.write(asset, pd.DataFrame(columns))
    return {one.check_name: one for one in stored_checks(stage)}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("asset", [Tables.ALIGNMENT, Tables.RECOMMENDER, Tables.SUMMARIZER])
def test_a_loss_that_is_no_number_blocks(tmp_path, asset, bad):
    found = results(tmp_path, asset, step=[1, 2], loss=[1.0, bad], reward=[0.0, 0.0])["loss_is_finite"]
    assert not found.passed
    assert found.severity.value == "ERROR"
    assert "1 of 2 losses are no finite numbers, the first in row 1" in found.description
    assert results(tmp_path, asset, step=[1, 2], loss=[1.0, 0.5], reward=[0.0, 0.0])["loss_is_finite"].passed


def test_measures_below_the_steps_are_no_losses(tmp_path):
    assert results(tmp_path, Tables.ALIGNMENT, step=[1, None], loss=[1.0, None])["loss_is_finite"].passed


def test_a_training_that_was_switched_off_passes(tmp_path):
    none = {"step": pd.Series(dtype="int64"), "reward": pd.Series(dtype="float64")}
    assert all(one.passed for one in results(tmp_path, Tables.SUMMARIZER, **none).values())


@pytest.mark.parametrize(("values", "down"), [([1, 1, 2, 2, 3, 3], True), ([3, 3, 2, 2, 1, 1], False), ([1] * 6, True)])
def test_a_curve_that_goes_the_wrong_way_or_nowhere_warns(values, down):
    found = moves("loss_falls", "the loss", pd.Series(values, dtype=float), down=down)
    assert not found.passed
    assert found.severity.value == "WARN"
    assert "see the curve" in found.description


def test_a_curve_that_falls_passes_and_one_of_few_steps_too():
    assert moves("loss_falls", "the loss", pd.Series([3.0, 3, 2, 2, 1, 1]), down=True).passed
    assert "too few" in moves("loss_falls", "the loss", pd.Series([1.0, 2.0]), down=True).description
    assert loss_is_finite(pd.Series([1.0])).passed


def test_vectors_that_are_nearly_equal_block_and_a_fold_is_enough():
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(20, 4))
    one = np.ones((20, 4)) + 1e-4 * spread
    units = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (spread, one)]
    assert vectors_differ(units[:1]).passed
    found = vectors_differ(units)
    assert not found.passed
    assert found.severity.value == "ERROR"
    assert "has collapsed" in found.description
    assert vectors_differ([np.zeros((5, 4))]).passed  # it knows none of the histories


@pytest.mark.parametrize("collapsed", [False, True])
def test_the_vectors_of_the_staged_encoder_are_looked_at(tmp_path, monkeypatch, collapsed):
    stage = Stage(Tables.USER_ENCODER, "shop", "", "", Config(), Paths(tmp_path))
    items = [f"i{number}" for number in range(6)]
    rows = {"split": "train", "user_id": items, "position": 1, "history_start": 0, "target": "i0", "timestamp": 5}
    stage.store.replace(Tables.SEQUENCES, "shop", pd.DataFrame(rows))
    stage.store.replace(Tables.INTERACTIONS, "shop", pd.DataFrame({"user_id": items, "item_id": items}))
    with stage.publish() as folder:
        (folder / "weights").touch()
    stage.write(Tables.USER_ENCODER, pd.DataFrame({"epoch": [1], "loss": [1.0]}))
    loaded = []

    class Stub:
        def embed(self, histories):
            return np.ones((6, 8)) if collapsed else np.eye(6)[: len(histories)]

    monkeypatch.setattr(FoldedEncoder, "load", lambda folder: loaded.append(folder) or FoldedEncoder(Stub()))
    found = {one.check_name: one for one in stored_checks(stage)}
    assert loaded == [stage.staged]
    assert found["vectors_differ"].passed != collapsed
