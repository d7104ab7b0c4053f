"""Ten kills in a tuning and in a writing of keywords: the end is that of unbroken work."""

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from summarization import killed_work

from mmsra_pipeline.summarization.tuning.grpo import CHECKPOINT_EVERY

KILLS = 10


def killed_ten_times(work, checkpoint, folder, seed, most, late=()):
    """Kill at random moments of the first ``most`` steps; the kills numbered ``late`` a step behind them."""
    rng = np.random.default_rng(seed)
    kills = 0
    while kills < KILLS:
        steps = int(rng.integers(0, most))
        moment = (most + 1 if kills in late else steps, float(rng.uniform(0, 0.05)))
        if not killed_work.run(work, checkpoint, folder, kill_after=moment):
            break  # it was through before its time: the work is too short for so many kills
        kills += 1
    killed_work.run(work, checkpoint, folder)
    return kills


@pytest.mark.slow
def test_a_tuning_killed_ten_times_ends_with_the_same_adapter_and_curve(speaking, tmp_path):
    checkpoint = speaking / "fastvlm"
    killed_work.run(killed_work.tuned, checkpoint, tmp_path / "whole")
    kills = killed_ten_times(
        killed_work.tuned, checkpoint, tmp_path / "cut", seed=1, most=CHECKPOINT_EVERY, late=(0, 5)
    )
    assert kills == KILLS
    whole, cut = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "cut"))
    assert [name for name, value in whole.items() if not value.equal(cut[name])] == []
    curves = [pd.read_parquet(tmp_path / name / "curve.parquet") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*curves)
    assert curves[0]["step"].tolist() == list(range(1, killed_work.GRPO.steps + 1))
    assert (tmp_path / "cut" / "steps").stat().st_size < killed_work.GRPO.steps  # the last one did not begin anew


@pytest.mark.slow
def test_a_writing_killed_ten_times_ends_with_the_same_keywords_and_writes_none_twice(speaking, tmp_path):
    checkpoint = speaking / "fastvlm"
    killed_work.run(killed_work.written, checkpoint, tmp_path / "whole")
    kills = killed_ten_times(killed_work.written, checkpoint, tmp_path / "cut", seed=2, most=2)
    assert kills == KILLS
    tables = [pd.read_parquet(tmp_path / name / "keywords.parquet") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*tables)
    left = int((tmp_path / "cut" / "generated").read_text())  # by the last one, that nobody killed
    assert left < int((tmp_path / "whole" / "generated").read_text()) == 48
