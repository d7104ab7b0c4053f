"""The recommender's training by two processes over Gloo, one of which is killed once."""

import os
import signal

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from recommendation.shop import examples, images
from safetensors.torch import load_file
from tiny import tiny_checkpoint, tiny_config

from mmsra_pipeline.backbone.elsewhere import origin_of
from mmsra_pipeline.backbone.lora import save_adapter
from mmsra_pipeline.backbone.model import load_backbone, open_backbone
from mmsra_pipeline.columns import IMAGE_HASH, ITEM
from mmsra_pipeline.config.tree import LoraSettings, RecommendationConfig
from mmsra_pipeline.errors import ComputeError
from mmsra_pipeline.recommendation.answer_trainer import Losses
from mmsra_pipeline.recommendation.ranks import MODULE, train_in_ranks
from mmsra_pipeline.recommendation.training import train_recommender
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.telemetry.tracking import NullTracker

CONFIG = RecommendationConfig(
    batch_size=5,  # odd: one rank has more parts than the other
    micro_batch=1,
    queries_together=1,
    epochs=5,
    learning_rate=1e-2,
    lora=LoraSettings(rank=2, alpha=4),  # without dropout, of which each rank would draw its own
    validate_every=2,
    patience=100,
)
TASKS = {"yes_no": 0.5, "choose": 0.25, "next_keywords": 0.25, "item_keywords": 0.0}


class Killing(NullTracker):
    """Kills the rank of that number at a step."""

    def __init__(self, rank, at):
        self.rank, self.at, self.steps = str(rank), at, []

    def log_metrics(self, metrics, step):
        self.steps.append(step)
        if step == self.at:
            for process in psutil.Process().children(recursive=True):
                if MODULE in process.cmdline() and process.environ().get("RANK") == self.rank:
                    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_two_ranks_have_the_curve_of_one_process_though_one_was_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path))
    artifacts = Artifacts(tmp_path / "artifacts")
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny"))
    pictures, table = images(artifacts), examples(24, tasks=TASKS)
    hashes = pd.DataFrame({ITEM: list(pictures._hashes), IMAGE_HASH: list(pictures._hashes.values())})
    origin = origin_of(open_backbone(config, artifacts), artifacts, threads=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone, curve = train_recommender(
            load_backbone(config, artifacts), table, pictures, CONFIG, 0, tmp_path / "one", NullTracker()
        )
    finally:
        torch.set_num_threads(threads)
    save_adapter(alone, tmp_path / "alone")
    assert len(curve) > 15

    def in_ranks(tracker):
        return train_in_ranks(origin, table, hashes, CONFIG, 0, tmp_path / "two", tracker, ranks=2)

    with pytest.raises(ComputeError, match=r"training of the recommender: rank 1 was killed \(signal 9\).*last checkp"):
        in_ranks(Killing(1, at=5))
    goes_on = Killing(1, at=-1)
    save, found = in_ranks(goes_on)
    assert min(goes_on.steps) > 2  # it went on
    assert max(goes_on.steps) == len(curve)
    assert found["step"].tolist() == curve["step"].tolist()
    np.testing.assert_allclose(found["loss"], curve["loss"], rtol=1e-5)  # seen: 3e-7
    np.testing.assert_allclose(found["validation_loss"], curve["validation_loss"], rtol=1e-5)
    assert found["best"].tolist() == curve["best"].tolist()
    save(tmp_path / "adapter")
    (one, two) = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("alone", "adapter"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_divide_the_parts_of_a_batch(tmp_path, artifacts, ranks):
    backbone = load_backbone(tiny_config(tiny_checkpoint(tmp_path / "tiny")), artifacts)
    losses = Losses(backbone, images(artifacts), CONFIG)
    rows = examples(12, tasks=TASKS).head(5).to_dict("records")
    whole = [float(loss) for _, loss in losses.parts(rows)]
    shares = [[float(loss) for _, loss in losses.parts(rows, slice(rank, None, ranks))] for rank in range(ranks)]
    assert len(whole) == 5
    assert sorted(whole) == sorted(loss for share in shares for loss in share)
    assert [len(share) for share in shares] == ([3, 2] if ranks == 2 else [2, 2, 1])
