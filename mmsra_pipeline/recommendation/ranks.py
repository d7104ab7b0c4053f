"""The recommender's training by several processes: what they are given, and what comes back."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from mmsra_pipeline.backbone.elsewhere import Origin
from mmsra_pipeline.backbone.recipe import Recipe
from mmsra_pipeline.columns import IMAGE_HASH, ITEM
from mmsra_pipeline.compute.ranks import Message, run_ranks
from mmsra_pipeline.config.tree import BackboneConfig, RecommendationConfig
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.telemetry.progress import Progress
from mmsra_pipeline.telemetry.tracking import Tracker

MODULE: Final = "mmsra_pipeline.recommendation.training_rank"
JOB, EXAMPLES, IMAGES = "job.json", "examples.parquet", "images.parquet"
ADAPTER, CURVE = "adapter", "curve.parquet"
SETTINGS: Final = (
    "epochs",
    "batch_size",
    "learning_rate",
    "lora",
    "micro_batch",
    "queries_together",
    "objective",
    "yes_no_weight",
    "validate_every",
    "patience",
)  # that a training reads


def train_in_ranks(
    origin: Origin,
    sft_dataset: pd.DataFrame,
    item_images: pd.DataFrame,
    config: RecommendationConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    ranks: int,
) -> tuple[Callable[[Path], None], pd.DataFrame]:
    """Train as ``train_recommender`` does, each batch computed by several processes together.

    Which parts of a batch there are does not depend on the number of ranks; their gradients are added up in another
    order, so curves agree within rounding. With dropout each rank draws for itself, and curves agree in the mean only.
    More ranks than a batch has parts (of ``queries_together`` lists or ``micro_batch`` other examples) are idle.

    Args:
        origin: from where ranks open the backbone. This process need not have its weights.
        sft_dataset: the examples.
        item_images: item_id and the hash of its stored picture.
        config: see ``train_recommender``.
        seed: as there.
        workdir: for checkpoints and for what ranks are given. A training that was stopped goes on, with any number of
            ranks.
        tracker: gets losses and learning rate of each step.
        ranks: processes.

    Returns:
        What puts the adapter into a folder, and the curve.

    Raises:
        ComputeError: if a rank fails or is killed.
    """
    folder = workdir / "ranks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sft_dataset.to_parquet(folder / EXAMPLES)
    item_images[[ITEM, IMAGE_HASH]].to_parquet(folder / IMAGES)
    settings = {name: getattr(config, name) for name in SETTINGS}
    recipe = origin.recipe._asdict() | {"config": origin.recipe.config.model_dump(mode="json")}
    job = {
        "origin": origin._asdict() | {"recipe": recipe},
        "config": RecommendationConfig(**settings).model_dump(mode="json"),
        "seed": seed,
        "workdir": str(workdir),
    }
    write_atomically(folder / JOB, json.dumps(job).encode())
    run_ranks(MODULE, folder, ranks, _Heard(tracker, ranks), "training of the recommender")
    return lambda place: _copy(folder / ADAPTER, place), pd.read_parquet(folder / CURVE)


def threads_of(ranks: int) -> int:
    """Return torch's threads of each of so many ranks on this machine."""
    return max(1, (os.cpu_count() or 1) // ranks)


def read_job(folder: Path) -> tuple[Origin, RecommendationConfig, int, Path]:
    """Return what ``train_in_ranks`` gave: origin, settings, seed, folder of checkpoints."""
    job: dict[str, Any] = json.loads((folder / JOB).read_text())
    origin, recipe = job["origin"], job["origin"]["recipe"]
    named = Recipe(
        BackboneConfig(**recipe["config"]),
        tuple(recipe["adapters"]),
        tuple(recipe["tuned"]),
        recipe["layers"],
        recipe["warm_start"],
    )
    opened = Origin(**{**origin, "recipe": named})
    return opened, RecommendationConfig(**job["config"]), int(job["seed"]), Path(job["workdir"])


class _Heard:
    """Passes on what rank 0 says of each step."""

    def __init__(self, tracker: Tracker, ranks: int) -> None:
        self._tracker = tracker
        self._note = f"{ranks} ranks"
        self._progress: Progress | None = None

    def __call__(self, message: Message) -> None:
        if "steps" in message:
            self._progress = Progress("recommender", int(message["steps"]), "steps")
            return
        values = {str(name): float(value) for name, value in message["metrics"].items()}
        self._tracker.log_metrics(values, step=int(message["step"]))
        if "loss" in values and self._progress:
            self._progress.advance(note=f"{self._note} · loss {values['loss']:.3f}")


def _copy(adapter: Path, place: Path) -> None:
    shutil.copytree(adapter, place, dirs_exist_ok=True)
