import os
from pathlib import Path

import pytest
from ingest.building import interactions_of

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.ingest.reading import image_root, read_dataset

REAL_DATA = os.environ.get("MMSRA_REAL_DATA", "")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="MMSRA_REAL_DATA names no folder of real data sets")


def test_the_sample_is_made_below_the_work_folder_and_reads_without_rejects(tmp_path):
    spec = DatasetSpec("sample", "sample", options={"size": "tiny"})
    raw = read_dataset(spec, tmp_path)
    assert (raw.reviews["user_id"].nunique(), len(raw.items), len(raw.rejects)) == (30, 24, 0)
    assert raw.items["image_sha256"].notna().sum() == 23
    assert raw.reviews["timestamp"].notna().all()
    assert raw.image_root is not None
    assert raw.image_root.is_relative_to(tmp_path)
    assert image_root(spec, tmp_path) == raw.image_root


def test_the_picture_folder_is_known_without_reading_tables(tmp_path):
    for name in ("interactions.csv", "items.csv", "M_pairs.tsv", "M_titles.csv"):
        (tmp_path / name).write_text("")
    assert image_root(DatasetSpec("t", "tables", tmp_path), tmp_path) is None
    (tmp_path / "images").mkdir()
    (tmp_path / "covers").mkdir()
    assert image_root(DatasetSpec("t", "tables", tmp_path), tmp_path) == tmp_path / "images"
    assert image_root(DatasetSpec("t", "microlens", tmp_path), tmp_path) == tmp_path / "covers"


@needs_real_data
@pytest.mark.real_data
def test_microlens_50k_has_the_users_of_the_paper_after_its_core(tmp_path):
    raw = read_dataset(DatasetSpec("microlens", "microlens", Path(REAL_DATA) / "microlens-50k"), tmp_path)
    _, funnel = interactions_of(raw.reviews, InteractionsConfig(user_core=6, item_core=5))
    counts = funnel.to_numpy().tolist()
    assert counts[:4] == [
        ["source", 50_000, 19_220, 359_708],
        ["exact_duplicates", 50_000, 19_220, 359_708],
        ["repeated_pairs", 50_000, 19_220, 359_708],
        ["k_core round 1", 29_654, 14_665, 249_985],
    ]
    assert counts[-1] == ["k_core round 13", 25_411, 11_896, 220_472]
    assert len(raw.rejects) == 0
    assert len(raw.items) == 19_220
    assert raw.items["title"].str.len().max() == 6_293


@needs_real_data
@pytest.mark.real_data
def test_movielens_posters_loads_with_the_counts_that_its_source_states(tmp_path):
    raw = read_dataset(DatasetSpec("movielens", "tables", Path(REAL_DATA) / "movielens-posters"), tmp_path)
    config = InteractionsConfig(user_core=5, item_core=5, require_image=True)
    _, funnel = interactions_of(raw.reviews, config, raw_items=raw.items)
    counts = funnel.set_index("step")
    assert (len(raw.reviews), len(raw.items), len(raw.rejects)) == (100_836, 9_742, 0)
    assert counts.loc["require_image", "interactions"] == 58_380
    assert counts.iloc[-1][["users", "items"]].tolist() == [597, 1_846]
