"""Work that a test kills: a tuning and a writing of keywords, each in a process of its own that says how far it is."""

import os
import signal
import time
from multiprocessing import get_context

import pandas as pd
from summarization.conftest import LetterSentences, Pictures
from tiny import tiny_config

from mmsra_pipeline.backbone.lora import save_adapter
from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.config.tree import GrpoConfig, LoraSettings, SummarizationConfig
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization.tuning.grpo import tune_summarizer
from mmsra_pipeline.summarization.writing import write_keywords

GRPO = GrpoConfig(
    steps=16, group_size=4, items_per_step=1, learning_rate=1e-3, lora=LoraSettings(rank=4, alpha=8), held_out=0
)
SUMMARIES = SummarizationConfig(max_new_tokens=40)
# Children are forked of a server that has imported everything and computed nothing: they start at once.
PROCESSES = get_context("forkserver")


class Steps:
    """Writes a byte a step, which is how far the tuning is."""

    def __init__(self, path):
        self._path = path

    def log_params(self, params):
        pass

    def log_metrics(self, metrics, step):
        note(self._path)


class Numbered(Pictures):
    """The same pictures, by the letter that an item's id begins with."""

    def get(self, item):
        return super().get(item[0])

    def image_hash(self, item):
        return super().image_hash(item[0])


class NotedCache(KeyedCache):
    """Writes a byte a batch."""

    def put(self, values):
        super().put(values)
        note(self.marks)


def note(path):
    with path.open("ab", buffering=0) as file:
        file.write(b".")


def catalogue(count):
    """Items of texts that differ; every fourth has no picture."""
    words = ("ceramic", "gift", "wool", "soft", "toy", "kitchen", "leather", "plain")
    texts = [f"{words[row % 8]} {words[row * 3 % 7]} {row}" for row in range(count)]
    return pd.DataFrame({"item_id": [f"{'abcd'[row % 4]}{row}" for row in range(count)], "text": texts})


def tuned(checkpoint, folder):
    """Tune to the end; write adapter and curve into ``folder``."""
    backbone = load_backbone(tiny_config(checkpoint, batch_size=3), Artifacts(folder))
    items = catalogue(4).assign(text=["ceramic gift", "wool, soft", "toy kitchen", "leather gift"])
    result = tune_summarizer(
        backbone, items, Numbered(), LetterSentences(), GRPO, SUMMARIES, 0, folder / "work", Steps(folder / "steps")
    )
    save_adapter(result.model, folder / "adapter")
    result.curve.to_parquet(folder / "curve.parquet")


def written(checkpoint, folder):
    """Write keywords to the end; write the table into ``folder``."""
    backbone = load_backbone(tiny_config(checkpoint, batch_size=3), Artifacts(folder))
    cache = NotedCache(folder / "cache.sqlite")
    cache.marks = folder / "cache.steps"
    table, count = write_keywords(backbone, catalogue(48), Numbered(), SUMMARIES, LetterSentences(), cache, "s1")
    table.to_parquet(folder / "keywords.parquet")
    (folder / "generated").write_text(str(count))


def run(work, checkpoint, folder, *, kill_after=None, patience=120.0):
    """Do ``work`` in a process; kill it ``kill_after`` = (steps, seconds) after its start, if it still goes on then.

    Returns:
        Whether it was killed.
    """
    folder.mkdir(exist_ok=True)
    marks = folder / ("steps" if work is tuned else "cache.steps")
    marks.write_bytes(b"")
    PROCESSES.set_forkserver_preload([__name__])  # again: Dagster's executor sets its own
    process = PROCESSES.Process(target=work, args=(checkpoint, folder))
    process.start()
    if kill_after is None:
        process.join(patience)
        assert process.exitcode == 0, f"the work ended with {process.exitcode}"
        return False
    steps, seconds = kill_after
    end = time.monotonic() + patience
    while process.is_alive() and marks.stat().st_size < steps:
        assert time.monotonic() < end, "the work does not move"
        time.sleep(0.002)
    time.sleep(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL
