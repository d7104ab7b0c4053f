"""The asset of co-occurrence on the tiny sample store: the table, and the counts that it keeps."""

import dagster as dg
import duckdb
import pytest

from mmsra_pipeline.artifacts import fingerprint
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config import Config
from mmsra_pipeline.defs.interactions import interactions, raw_reviews, sequences
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.defs.retrieval import cooccurrence_neighbors
from mmsra_pipeline.interactions.splits import training_interactions
from mmsra_pipeline.retrieval.cooccurrence import cooccurrence_neighbors as neighbors_of
from mmsra_pipeline.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory):
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


def test_the_table_is_made_of_training_interactions_alone(made):
    store = Store(made[0] / "data")
    training = training_interactions(
        store.read(Tables.INTERACTIONS, "shop"), store.read(Tables.TRAINING_BOUNDS, "shop")
    )
    with duckdb.connect() as connection:
        expected = neighbors_of(connection, training, Config().retrieval.cooccurrence).read_all()
    assert store.read_arrow(Tables.COOCCURRENCE_NEIGHBORS, "shop").equals(expected)
    assert expected.num_rows > 20
    assert materialization(made[1]).metadata["training_interactions"].value == len(training)


def test_a_second_run_reads_no_user_again_and_changes_nothing(made):
    first, again = (materialization(result) for result in made[1:])
    assert first.metadata["counted_users"].value > 20
    assert again.metadata["counted_users"].value == 0
    # The artifact is no output: later assets read the table alone.
    table = Store(made[0] / "data").current(Tables.COOCCURRENCE_NEIGHBORS, "shop")
    version = fingerprint({table.table: table.version})
    assert first.tags["dagster/data_version"] == again.tags["dagster/data_version"] == version
