"""One process of a training by several: `python -m mmsra_pipeline.recommendation.training_rank FOLDER`.

Started by ``recommendation.ranks.train_in_ranks`` with torch's launcher. Rank 0 alone says how it goes and writes.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import distributed
from transformers import TrainerCallback

from mmsra_pipeline.backbone.elsewhere import open_elsewhere
from mmsra_pipeline.backbone.lora import save_adapter
from mmsra_pipeline.compute.ranks import end_with_parent, say
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.ranks import ADAPTER, CURVE, EXAMPLES, IMAGES, read_job
from mmsra_pipeline.recommendation.training import train_recommender
from mmsra_pipeline.telemetry.tracking import NullTracker


class _Saying(NullTracker):
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Say the values of a step."""
        say({"metrics": dict(metrics), "step": step})


class _Steps(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Say how many steps are left."""
        say({"steps": state.max_steps - state.global_step})


def train_as_rank(folder: Path) -> None:
    """Train with the other ranks; rank 0 writes adapter and curve into the folder."""
    first = os.environ["RANK"] == "0"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    origin, config, seed, workdir = read_job(folder)
    backbone, artifacts = open_elsewhere(origin)
    images = ItemImages(artifacts, pd.read_parquet(folder / IMAGES))
    _ = backbone.model
    model, curve = train_recommender(
        backbone,
        pd.read_parquet(folder / EXAMPLES),
        images,
        config,
        seed,
        workdir,
        _Saying() if first else NullTracker(),
        callbacks=[_Steps()] if first else [],
    )
    if first:
        save_adapter(model, folder / ADAPTER)
        curve.to_parquet(folder / CURVE)
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def main() -> None:
    """Be a rank."""
    end_with_parent()
    try:
        train_as_rank(Path(sys.argv[1]))
    except MmsraError as error:
        say({"rank": int(os.environ["RANK"]), "error": str(error)})
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
