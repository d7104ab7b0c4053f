"""Trains a recommender on what `prepare.py` packed, and scores the lists; on a GPU, without Dagster and MLflow.

    python benchmarks/ranking_study/train.py --data FOLDER --settings FILE --out FOLDER
        [--lists 20000] [--layers 20] [--rate 5e-4] [--batch 16] [--together 16] [--every 100] [--budget SECONDS]
        [--seed 0] [--no-scores] [--blank 300]

Settings are those of FILE, changed by the arguments. Training ends after ``--budget`` seconds if it has not before; the
best step by the validation lists is kept. Writes `curve.parquet`, `scores.parquet` (user_id, position, item_id, logit,
mass) and `study.json` (arguments, best validation loss, seconds, peak memory, the card). With ``--blank N`` the first N
lists, which are of validation queries, are scored again without one slot of the evidence each: `blank_<slot>.parquet`.
"""

import argparse
import json
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from transformers import TrainerCallback

from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.backbone.several_groups import answers_of_groups
from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TRAIN, USER
from mmsra_pipeline.config.loading import load_config
from mmsra_pipeline.interactions.query_sampling import YES_NO
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.evidence import WORDS
from mmsra_pipeline.recommendation.training import train_recommender
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.telemetry.progress import Progress
from mmsra_pipeline.telemetry.tracking import NullTracker

LISTS_TOGETHER = 8  # of some forty candidates, on a GPU
EVERY = 20  # batches of lists between writes


class Budget(TrainerCallback):
    """Ends a training after some seconds, with a last look at the validation lists."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        """Look at the clock."""
        if time.monotonic() > self._end:
            control.should_training_stop = control.should_evaluate = control.should_save = True


def scored(backbone: Any, asked: pd.DataFrame, autocast: bool, together: int, out: Path) -> pd.DataFrame:
    """Score lists of candidates, and write them to ``out`` now and then: what is stopped can be measured."""
    rows: list[tuple[Any, ...]] = []
    progress = Progress("scoring", len(asked), "lists")
    arithmetic = torch.autocast(backbone.device.type, dtype=torch.bfloat16, enabled=autocast)
    with torch.inference_mode(), arithmetic, backbone.rounded(autocast=autocast):
        for number, start in enumerate(range(0, len(asked), together)):
            part = asked.iloc[start : start + together]
            prompts = [
                [task_prompts.render(task_prompts.from_json(one), None) for one in own] for own in part["prompts"]
            ]
            found = answers_of_groups(backbone, prompts, (task_prompts.YES, task_prompts.NO))
            for user, at, items, answers in zip(part[USER], part[POSITION], part["items"], found, strict=True):
                said = zip(items, answers.margin.tolist(), answers.mass.tolist(), strict=True)
                rows += [(user, at, item, logit, mass) for item, logit, mass in said]
            progress.advance(len(part))
            if number % EVERY == EVERY - 1:
                _as_table(rows).to_parquet(out)
    table = _as_table(rows)
    table.to_parquet(out)
    return table


def _as_table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[USER, POSITION, ITEM, "logit", "mass"])


def without(asked: pd.DataFrame, slot: str) -> pd.DataFrame:
    """Leave a slot of the evidence blank in all prompts."""
    stated = re.compile(rf"(\\n| ){re.escape(WORDS[slot])}[0-9](?=[ \"])")
    blank = [[stated.sub(rf"\g<1>{WORDS[slot]}-", prompt) for prompt in own] for own in asked["prompts"]]
    return asked.assign(prompts=blank)


def main() -> None:
    """Train and score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "settings", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--lists", type=int, default=20_000)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--together", type=int, default=16)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--budget", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--no-scores", action="store_true")
    parser.add_argument("--blank", type=int, default=0)
    asked = parser.parse_args()
    base = load_config(asked.settings)
    changes = {
        "batch_size": asked.batch, "queries_together": asked.together, "validate_every": asked.every,
        "layers": asked.layers or base.recommendation.layers, "patience": 6,
        "learning_rate": asked.rate or base.recommendation.learning_rate,
    }  # fmt: skip
    config = base.recommendation.model_copy(update=changes)
    rows = pd.read_parquet(asked.data / "sft_dataset.parquet")
    train = rows[(rows[SPLIT] == TRAIN) & (rows["task"] == YES_NO)].head(asked.lists)
    others = rows[(rows[SPLIT] == TRAIN) & (rows["task"] != YES_NO)].head(round(asked.lists * 0.06))
    rows = pd.concat([train, others, rows[rows[SPLIT] != TRAIN]], ignore_index=True)
    warm_start = config.start == "aligned"
    backbone = load_backbone(base.backbone, Artifacts(asked.artifacts), layers=config.layers, warm_start=warm_start)
    asked.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with TemporaryDirectory() as workdir:
        images = ItemImages(Artifacts(asked.artifacts), pd.DataFrame({ITEM: [], "image_sha256": []}))
        model, curve = train_recommender(
            backbone, rows, images, config, asked.seed, Path(workdir), NullTracker(), [Budget(asked.budget)]
        )
    trained = time.monotonic() - began
    curve.to_parquet(asked.out / "curve.parquet")
    found = {key: str(value) if isinstance(value, Path) else value for key, value in vars(asked).items()} | {
        "training_lists": len(train), "steps": len(curve), "training_seconds": round(trained, 1),
        "validation_loss": curve["validation_loss"].min(), "last_loss": curve["loss"].tail(50).mean(),
    }  # fmt: skip
    if not asked.no_scores:
        backbone.model.eval()
        autocast = backbone.autocasts(base.recommendation.scoring_autocast)
        lists = pd.read_parquet(asked.data / "asked.parquet")
        together = min(asked.together, LISTS_TOGETHER)
        table = scored(backbone, lists, autocast, together, asked.out / "scores.parquet")
        for slot in base.recommendation.prompt.evidence if asked.blank else ():
            blank = without(lists.head(asked.blank), slot)
            scored(backbone, blank, autocast, together, asked.out / f"blank_{slot}.parquet")
        found |= {"candidates": len(table), "scoring_seconds": round(time.monotonic() - began - trained, 1)}
    if torch.cuda.is_available():
        found |= {"card": torch.cuda.get_device_name(0), "peak_gb": torch.cuda.max_memory_allocated() / 2**30}
    del model
    (asked.out / "study.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
