"""The assets of retrieval on the tiny sample store."""

import dagster as dg
import pandas as pd
import pytest
import yaml

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.defs.interactions import interactions, raw_reviews, sequences, training_queries
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.defs.retrieval import cooccurrence_neighbors, similar_users, user_encoder
from mmsra_pipeline.interactions.splits import training_interactions
from mmsra_pipeline.retrieval.cooccurrence.index import WINDOW, CooccurrenceIndex
from mmsra_pipeline.retrieval.cooccurrence.neighbors import neighbors
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder, fold_of
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.tables import Store

QUICK = Config.model_validate(
    {
        "seed": 3,
        "retrieval": {
            "encoder": {"dim": 8, "layers": 1, "heads": 1, "epochs": 2, "folds": 2},
            "similar_users": {"k": 2, "voters": 6},
        },
    }
)


@pytest.fixture(scope="module")
def retrieved_twice(tmp_path_factory):
    """The root, and the results of two runs of the asset on the same interactions."""
    root = tmp_path_factory.mktemp("root")
    (root / "datasets").mkdir()
    (root / "datasets" / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MMSRA_ROOT", str(root))
        instance.add_dynamic_partitions("dataset", ["shop"])
        stages = [raw_reviews, interactions, sequences, cooccurrence_neighbors]
        run = {"instance": instance, "partition_key": "shop", "resources": {"mmsra": Installation()}}
        first = dg.materialize(stages, **run)
        again = dg.materialize(stages, selection=[cooccurrence_neighbors], **run)
        yield root, first, again


def materialization(result) -> dg.AssetMaterialization:
    [event] = result.asset_materializations_for_node("cooccurrence_neighbors")
    return event


def test_the_table_is_made_of_training_interactions_alone(retrieved_twice):
    store = Store(retrieved_twice[0] / "data")
    training = training_interactions(
        store.read(Tables.INTERACTIONS, "shop"), store.read(Tables.TRAINING_BOUNDS, "shop")
    )
    config = Config().retrieval.cooccurrence
    expected = neighbors(CooccurrenceIndex.of_training(training, config.window), config.neighbors_per_item)
    pd.testing.assert_frame_equal(store.read(Tables.COOCCURRENCE_NEIGHBORS, "shop"), expected)
    assert len(expected) > 20
    assert materialization(retrieved_twice[1]).metadata["training_interactions"].value == len(training)


def test_later_assets_read_the_events_within_the_window_of_evidence_and_a_second_run_changes_nothing(retrieved_twice):
    first, again = (materialization(result) for result in retrieved_twice[1:])
    assert first.tags["dagster/data_version"] == again.tags["dagster/data_version"]
    index = CooccurrenceIndex.load(
        Artifacts(retrieved_twice[0] / "artifacts").current(Tables.COOCCURRENCE_NEIGHBORS, "shop")
    )
    assert index.window == WINDOW
    assert first.metadata["events"].value == len(index.events(0, len(index.items)).first) > 20


@pytest.fixture(scope="module")
def retrieved(retrieved_twice):
    """The root, and what the encoder and the similar users said of themselves."""
    root = retrieved_twice[0]
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MMSRA_ROOT", str(root))
        patch.delenv("MMSRA_CONFIG", raising=False)
        (root / "mmsra.yaml").write_text(yaml.safe_dump(QUICK.model_dump(mode="json")))
        instance.add_dynamic_partitions("dataset", ["shop"])
        stages = [raw_reviews, interactions, sequences, training_queries, user_encoder, similar_users]
        run = {"instance": instance, "partition_key": "shop", "resources": {"mmsra": Installation()}}
        done = dg.materialize(stages, selection=[training_queries, user_encoder, similar_users], **run)
        [event] = done.asset_materializations_for_node("similar_users")
        yield root, {name: value.value for name, value in event.metadata.items()}


def test_the_artifact_holds_an_encoder_of_all_users_and_those_of_the_folds(retrieved):
    [folder] = [file.parent for file in (retrieved[0] / "artifacts").rglob("folds.json")]
    folded = FoldedEncoder.load(folder)
    assert (len(folded.folds), folded.seed) == (2, 3)
    assert folded.for_training("u") is folded.folds[fold_of("u", 2, 3)]
    assert UserEncoder.load(folder).items == folded.full.items == folded.folds[0].items


def test_voters_are_found_for_training_and_held_out_queries_and_hits_are_of_those_shown(retrieved):
    root, reported = retrieved
    store = Store(root / "data")
    rows = store.read(Tables.SIMILAR_USERS, "shop")
    assert rows["rank"].max() == 6
    assert not rows.duplicated(["user_id", "position", "rank"]).any()
    queries = rows.merge(store.read(Tables.SEQUENCES, "shop"), on=["user_id", "position"], suffixes=("", "_asked"))
    assert set(queries["split"]) == {"train", "validation", "test", "serve"}
    assert reported["leak_rate"] == 0
    for split, name in (("test", "hit_share"), ("train", "hit_share_training")):
        asked = queries[(queries["split"] == split) & (queries["rank"] <= 2)]
        hits = asked[asked["item_id"] == asked["target"]].groupby(["user_id", "position"]).ngroups
        count = reported["test_queries" if split == "test" else "training_queries"]
        assert reported[name] == pytest.approx(hits / count)
        assert hits
