import time

import pytest
from orchestration.small_graph import add_shop

from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.dataset_removal import remove
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.run_locks import dataset_lock
from mmsra_pipeline.storage.tables import Store


@pytest.fixture
def two(instance, paths, definitions, monkeypatch):
    """Two data sets that were made, with source files that are remembered."""
    now = time.time
    monkeypatch.setattr("mmsra_pipeline.storage.file_hashes.time.time", lambda: now() + 60)
    for name in ("shop", "shop2"):
        add_shop(paths, name)
        for folder in ("work/recommender", "fusion"):
            (paths.artifacts / folder / name / "abc").mkdir(parents=True)
        dataset_lock(paths, name).touch()
    refresh(instance, paths, definitions=definitions)


def remembered(paths, name):
    with FileHashes(paths.file_hashes) as hashes:
        for file in ("interactions.csv", "items.csv"):
            hashes.of(paths.root / "sources" / name / file)
        return 2 - hashes.read


def test_all_of_a_dataset_goes_and_nothing_of_another(instance, paths, two):
    store = Store(paths.data)
    store.pin("interactions", "shop", {store.current("interactions", "shop").version})
    assert remembered(paths, "shop") == 2
    told = remove(instance, paths, "shop")
    assert told[0] == "tables: interactions, raw_reviews, refresh_report"
    assert "work/recommender/shop" in told[1]
    assert ".dataset-shop.lock" in told[1]
    assert told[2:4] == ["remembered source files: 2", "partition: shop"]
    assert [path for path in paths.root.rglob("*") if path.name == "shop"] == [paths.root / "sources" / "shop"]
    assert remembered(paths, "shop2") == 2
    assert store.datasets("refresh_report") == ["shop2"]
    assert dataset_lock(paths, "shop2").exists()
    assert instance.get_dynamic_partitions("dataset") == ["shop2"]


def test_a_dataset_whose_description_is_broken_can_be_removed(instance, paths, two):
    (paths.datasets / "shop.yaml").write_text("format: tables\npaht: x\n")
    told = remove(instance, paths, "shop")
    assert "remembered source files: 0" in told
    assert not Store(paths.data).has("raw_reviews", "shop")


def test_a_dataset_that_is_being_computed_stays(instance, paths, two):
    with locked(dataset_lock(paths, "shop"), "shop"), pytest.raises(MmsraError, match="'shop' is being computed"):
        remove(instance, paths, "shop")
    assert Store(paths.data).has("raw_reviews", "shop")
    assert (paths.datasets / "shop.yaml").is_file()
