"""A step of GRPO: TRL's trainer as in commit 498a0bc against ours, both with the same rewards of models.

    python benchmarks/grpo.py [--way both|trl|ours] [--steps 3] [--items 2] [--group 6] [--tokens 48] [--model embedded]
        [--adapter FOLDER ...] [--no-autocast] [--no-grounding]

Prints seconds and CPU seconds a step (median of all but the first), the ratio, and the peak memory of each way, which
runs in a process of its own. Items are made up: a picture and a text of some twenty words. Without ``--adapter`` (such
as that of the asset ``alignment``) the model does not know the form, so that TRL's completions reach the token limit.
"""

import argparse
import itertools
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
from candidates import COLOURS, KINDS
from peers.trl_grpo import tune
from PIL import Image

from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.config.tree import BackboneConfig, GrpoConfig, SummarizationConfig
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.summarization.tuning.grpo import tune_summarizer
from mmsra_pipeline.telemetry.tracking import NullTracker

ITEMS = 24
PLACES = ("office", "kitchen", "garden", "nursery")
Times = list[tuple[float, float]]


class Pictures:
    """Plain pictures of the made-up items."""

    def get(self, item: str) -> Image.Image:
        """Return the picture of an item."""
        return Image.new("RGB", (128, 128), COLOURS[int(item) % len(COLOURS)])


class Stopwatch(NullTracker):
    """A tracker that notes when a step is logged."""

    def __init__(self) -> None:
        self.times: Times = []

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:  # noqa: ARG002  (a tracker's signature)
        """Note wall and CPU seconds, at each step's end."""
        if "reward" in metrics:
            self.times.append((time.perf_counter(), time.process_time()))


def made_up() -> pd.DataFrame:
    """Return rows of ``item_text``."""
    titles = [f"{COLOURS[row % 8]} {KINDS[row % 7]} dunmore {row}" for row in range(ITEMS)]
    texts = [
        f"{title}. A {KINDS[row % 7]} of glass for the {PLACES[row % 4]}, made by hand in small numbers, "
        f"with a striped lid and a box to give it away in. home, {PLACES[row % 4]}"
        for row, title in enumerate(titles)
    ]
    return pd.DataFrame({"item_id": [str(row) for row in range(ITEMS)], "title": titles, "text": texts})


def run_way(way: str, asked: argparse.Namespace) -> tuple[Times, float]:
    """Run one way; give the times of its steps but the first, and the peak memory in GB."""
    backbone = backbone_of(asked)
    grpo = GrpoConfig(
        steps=asked.steps, items_per_step=asked.items, group_size=asked.group, learning_rate=5e-5, held_out=0
    )
    if not asked.grounding:
        grpo = grpo.model_copy(update={"weights": grpo.weights.model_copy(update={"grounding": 0.0})})
    config = SummarizationConfig(max_new_tokens=asked.tokens)
    with tempfile.TemporaryDirectory() as folder:
        times = (trl if way == "trl" else ours)(backbone, grpo, config, Path(folder))
    return times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def backbone_of(asked: argparse.Namespace) -> Backbone:
    """The backbone of the arguments, its adapters merged."""
    settings = BackboneConfig(model=asked.model, autocast="auto" if asked.autocast else False)
    return load_backbone(settings, Artifacts(find_paths().artifacts), asked.adapter)


def trl(backbone: Backbone, grpo: GrpoConfig, config: SummarizationConfig, folder: Path) -> Times:
    """TRL's way."""
    rows, pictures = made_up(), Pictures()
    items = [(str(text), pictures.get(str(item))) for item, text in zip(rows["item_id"], rows["text"])]
    return tune(backbone, items, grpo, config, 0, folder)[1:]


def ours(backbone: Backbone, grpo: GrpoConfig, config: SummarizationConfig, folder: Path) -> Times:
    """Our way, with all rewards of the settings."""
    watch = Stopwatch()
    tune_summarizer(backbone, made_up(), Pictures(), SentenceEncoder(), grpo, config, 0, folder, watch)
    return [(later[0] - one[0], later[1] - one[1]) for one, later in itertools.pairwise(watch.times)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=["both", "trl", "ours"], default="both")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--items", type=int, default=2)
    parser.add_argument("--group", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--adapter", type=Path, action="append", default=[])
    parser.add_argument("--autocast", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--grounding", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found = {}
    for way in ("trl", "ours") if asked.way == "both" else (asked.way,):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            times, memory = pool.submit(run_way, way, asked).result()
        wall, cpu = (statistics.median(column) for column in zip(*times))
        found[way] = wall, cpu
        print(f"{way:6}{wall:8.2f} s a step{cpu:8.2f} CPU s a step   peak memory {memory:.2f} GB", flush=True)
    if len(found) == 2:
        ratios = [trl_time / our_time for trl_time, our_time in zip(found["trl"], found["ours"])]
        print(f"ratio {ratios[0]:.2f} by the clock, {ratios[1]:.2f} in CPU seconds")


if __name__ == "__main__":
    main()
