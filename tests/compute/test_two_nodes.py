"""Keywords and scores by a Ray cluster of two nodes, one of which is killed in the middle.

The root is in an object store, and the nodes have a scratch folder of their own: what they need comes by the root.
"""

import contextlib
import logging

import pandas as pd
import pytest
import torch
from compute import ray_workers
from compute.ray_cluster import STORE_BYTES, cluster_of
from recommendation import shop
from summarization.conftest import LetterSentences
from tiny import tiny_checkpoint, tiny_config

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import load_backbone, open_backbone
from mmsra_pipeline.columns import ITEM, POSITION, TEXT, USER
from mmsra_pipeline.config.tree import ComputeConfig, LoraSettings, SummarizationConfig
from mmsra_pipeline.recommendation import list_scorer
from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization import answering
from mmsra_pipeline.summarization.writing import write_keywords

pytest.importorskip("ray", reason="needs Ray: pip install 'mmsra-pipeline[ray]'")

CONFIG = SummarizationConfig(max_new_tokens=24)
ITEMS = 24


@pytest.fixture
def one_thread():
    """As a worker has it: other numbers of threads add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Cutting(KeyedCache[str]):
    """Takes a node away while both are at work."""

    def __init__(self, path, log, kill):
        super().__init__(path)
        self._log, self._kill, self.before = log, kill, 0

    def put(self, entries):
        super().put(entries)
        if self._kill and self._log.text.count("a worker begins on") == 2:
            self._kill()
            self._kill, self.before = None, len(self)


def adapter(config, artifacts, folder):
    """An adapter that changes answers, published below the root."""
    tuned = lora.attach(load_backbone(config, artifacts), LoraSettings(rank=2, alpha=4))
    with torch.no_grad():
        for name, value in tuned.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.linspace(-0.2, 0.2, value.numel()).reshape(value.shape))
    with artifacts.publish("alignment", "shop") as folder:
        lora.save_adapter(tuned, folder)
    return artifacts.current("alignment", "shop")


@pytest.mark.slow
def test_results_are_those_of_one_process_though_a_node_is_killed(machine, tmp_path, monkeypatch, caplog, one_thread):
    caplog.set_level(logging.INFO)
    artifacts = Artifacts.of(machine("driver"))
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny"), batch_size=2)
    backbone = open_backbone(config, artifacts, [adapter(config, artifacts, tmp_path)])
    images = shop.images(artifacts)
    known = [item for item in shop.WORDS if images.image_hash(item)]
    items = pd.DataFrame(
        {ITEM: [f"{known[n % len(known)]}" if n < len(known) else f"i{n}" for n in range(ITEMS)],
         TEXT: [("wool, soft toy " * (1 + n % 5)) + str(n) for n in range(ITEMS)]}
    )  # fmt: skip

    def written(cache, spread=None):
        return write_keywords(backbone, items, images, CONFIG, LetterSentences(), cache, "s", spread=spread)[0]

    monkeypatch.setenv("MMSRA_SCRATCH", str(tmp_path / "nodes"))
    monkeypatch.setattr(answering, "answering_elsewhere", ray_workers.answering_together)
    with cluster_of() as (cluster, address):
        compute = ComputeConfig(engine="ray", address=address, workers=2, lists_per_shard=1)
        second = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        workers = answering.by_workers(backbone, artifacts, CONFIG, compute)
        cache = Cutting(tmp_path / "k.sqlite", caplog, lambda: cluster.remove_node(second, allow_graceful=False))
        found = written(cache, workers)
        assert "model" not in vars(backbone)  # it is read where it works
        assert 0 < cache.before < ITEMS
        assert "keywords: a worker died; its shard (" in caplog.text
        assert len(cache) == ITEMS
        pd.testing.assert_frame_equal(found, written(KeyedCache(None)), check_exact=True)
        assert found["completion"].nunique() > ITEMS / 2

        rows = [(user, 4, item) for user in shop.EVENTS for item in ("bag", "chair", "ball")]
        queries = shop.sequences().query("split == 'test'")
        lists = with_signals(pd.DataFrame(rows, columns=[USER, POSITION, ITEM]), queries, shop.source())
        context = shop.context(pictures=images, candidate_image=True)
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        workers = list_scorer.by_workers(backbone, artifacts, images, compute, autocast=False)
        kept = tmp_path / "s.sqlite"
        scored = score_candidates(backbone, queries, lists, context, kept, autocast=False, spread=workers)
    here = score_candidates(backbone, queries, lists, context, autocast=False)
    pd.testing.assert_frame_equal(scored, here, check_exact=True)
    assert scored["logit"].nunique() == len(rows)
    with contextlib.closing(KeyedCache[str](kept)) as cache:
        assert len(cache) == len(shop.EVENTS)
    fetched = {path.name for path in (tmp_path / "nodes").rglob("*.jpg")}
    assert len(fetched) == len(known)
    assert list((tmp_path / "nodes").rglob("adapter_model.safetensors"))
