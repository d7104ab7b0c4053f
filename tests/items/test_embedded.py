"""Pictures within Parquet files are read, checked and stored as files are."""

import hashlib
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest import embedded_pictures
from mmsra_pipeline.ingest.embedded_pictures import Embedded, embedded, rows_of_pictures
from mmsra_pipeline.ingest.reading import read_dataset
from mmsra_pipeline.items.images import build_item_images, load_image
from mmsra_pipeline.storage.artifacts import Artifacts

HF = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def jpeg(color, size=(64, 48), kind="JPEG") -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", size, color).save(sink, kind)
    return sink.getvalue()


RED, GREEN = jpeg((200, 30, 30)), jpeg((30, 200, 30), kind="PNG")


def shop(folder, files: dict[str, pa.Table], **options) -> DatasetSpec:
    ids = [item for table in files.values() for item in table.column("item_id").to_pylist()]
    rows = "".join(f"u,{item},{1_700_000_000 + place}\n" for place, item in enumerate(ids))
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    for name, table in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        pq.write_table(table, folder / name, row_group_size=2)
    return DatasetSpec("shop", "tables", folder, {"items": next(iter(files)), **options}, folder / "shop.yaml")


def of_items(cells, kind=HF, name="image", start=1) -> pa.Table:
    ids = [f"p{place}" for place in range(start, start + len(cells))]
    return pa.table({"item_id": ids, "title": ids, name: pa.array(cells, kind)})


def stored(spec, folder, previous=None, **settings) -> tuple[pd.DataFrame, Artifacts]:
    raw = read_dataset(spec, folder)
    artifacts = Artifacts(folder / "artifacts")
    ids = raw.items["item_id"].tolist()
    table = build_item_images(
        raw.items, ids, raw.image_root, artifacts, ItemsConfig(**settings), previous, sources=spec.path
    )
    return table.set_index("item_id"), artifacts


@pytest.mark.parametrize(
    ("kind", "wrapped"),
    [
        (HF, lambda content: {"bytes": content, "path": None}),
        (pa.binary(), lambda content: content),
        (pa.large_binary(), lambda content: content),
        (pa.list_(HF), lambda content: [{"bytes": None, "path": None}, {"bytes": content, "path": "x.jpg"}]),
        (pa.list_(pa.binary()), lambda content: [content, GREEN]),
    ],
)
def test_bytes_in_a_column_give_the_same_picture_as_a_file_with_these_bytes(tmp_path, kind, wrapped):
    spec = shop(tmp_path, {"items.parquet": of_items([wrapped(RED), None, wrapped(GREEN)], kind)})
    table, artifacts = stored(spec, tmp_path)
    assert table["status"].tolist() == ["ok", "missing", "ok"]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "p2.jpg").write_bytes(RED)
    beside, _ = stored(spec, tmp_path)
    assert beside.loc["p1", "image_sha256"] == beside.loc["p2", "image_sha256"] == table.loc["p1", "image_sha256"]
    red, green = (
        np.asarray(load_image(artifacts, table.loc[item, "image_sha256"])).mean((0, 1)) for item in ("p1", "p3")
    )
    assert red[0] > 150 > red[1]
    assert green[1] > 150 > green[0]


def test_the_shards_of_an_export_are_read_and_a_path_counts_where_there_are_no_bytes(tmp_path):
    shards = {
        "data/train-00000-of-00002.parquet": of_items(
            [{"bytes": RED, "path": "1.jpg"}, {"bytes": GREEN, "path": None}]
        ),
        "data/train-00001-of-00002.parquet": of_items(
            [{"bytes": None, "path": "third.jpg"}, {"bytes": jpeg((9, 9, 200)), "path": "../../x"}, None], start=3
        ),
    }
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "third.jpg").write_bytes(jpeg((200, 200, 9)))
    table, _ = stored(shop(tmp_path, shards, items="data/train-*.parquet"), tmp_path)
    assert table["status"].tolist() == ["ok"] * 4 + ["missing"]
    assert table["image_sha256"].nunique() == 4


def test_what_is_no_picture_costs_its_item_alone_and_says_why(tmp_path):
    bomb = jpeg((1, 1, 1), (3000, 3000), "PNG")
    cells = [RED, b"\xff\xd8\0broken", b"<html>\xff\0</html>", bomb, b"", b"images/p1.jpg"]
    table, _ = stored(shop(tmp_path, {"items.parquet": of_items(cells, pa.binary())}), tmp_path, max_image_pixels=10**6)
    assert table["status"].tolist() == ["ok", "broken", "broken", "broken", "missing", "missing"]
    assert "3000 x 3000 pixels" in table.loc["p4", "reason"]


def test_a_stated_column_is_one_of_pictures_and_any_other_of_bytes_is_none(tmp_path):
    items = of_items([RED], pa.binary(), "payload").append_column(
        "audio", pa.array([{"bytes": GREEN, "path": "a.wav"}], HF)
    )
    spec = shop(tmp_path, {"items.parquet": items}, columns={"image": "payload"})
    assert stored(spec, tmp_path)[0]["status"].tolist() == ["ok"]
    assert stored(shop(tmp_path, {"items.parquet": items}), tmp_path)[0]["status"].tolist() == ["missing"]


def test_a_file_that_changed_since_it_was_read_gives_no_other_items_picture(tmp_path):
    spec = shop(tmp_path, {"items.parquet": of_items([RED, GREEN], pa.binary())})
    raw = read_dataset(spec, tmp_path)
    pq.write_table(of_items([GREEN], pa.binary()), tmp_path / "items.parquet")
    result = build_item_images(raw.items, ["p1", "p2"], None, Artifacts(tmp_path), ItemsConfig(), sources=tmp_path)
    assert result["status"].tolist() == ["missing"] * 2
    assert result["reason"].str.contains("row . of items.parquet, column image: is not what it was").all()


def test_a_cell_that_only_looks_like_a_place_opens_nothing_outside_the_folder(tmp_path):
    inner, outer = tmp_path / "shop", tmp_path / "secret.parquet"
    inner.mkdir()
    pq.write_table(of_items([RED], pa.binary()), outer)
    cell = Embedded(hashlib.sha256(RED).hexdigest(), 1, "../secret.parquet", "image").reference()
    items = pd.DataFrame({"item_id": ["p1"], "image": [cell], "image_sha256": [None]})
    result = build_item_images(items, ["p1"], None, Artifacts(tmp_path), ItemsConfig(), sources=inner)
    assert result["status"].tolist() == ["missing"]
    items["image"] = Embedded(hashlib.sha256(RED).hexdigest(), 1, "secret.parquet", "image").reference()
    assert (
        build_item_images(items, ["p1"], None, Artifacts(tmp_path), ItemsConfig(), sources=tmp_path)["status"][0]
        == "ok"
    )


def test_a_picture_that_is_known_is_not_decoded_again(tmp_path, monkeypatch):
    spec = shop(tmp_path, {"items.parquet": of_items([RED, GREEN], pa.binary())})
    first, _ = stored(spec, tmp_path)
    monkeypatch.setattr("mmsra_pipeline.items.embedded.rows_of_pictures", lambda *_: pytest.fail("read again"))
    again, _ = stored(spec, tmp_path, first.reset_index())
    pd.testing.assert_frame_equal(first, again)


def test_few_rows_are_in_memory_together_and_a_group_too_large_is_refused(tmp_path, monkeypatch):
    pictures = [jpeg((place, 0, 0)) + bytes(place) for place in range(20)]
    pq.write_table(of_items(pictures, pa.binary()), tmp_path / "i.parquet")
    monkeypatch.setattr(embedded_pictures, "TOGETHER", 3000)
    assert dict(rows_of_pictures(tmp_path / "i.parquet", "image", {2, 19})) == {2: pictures[1], 19: pictures[18]}
    with pq.ParquetFile(tmp_path / "i.parquet") as file:
        assert embedded_pictures.rows_at_once(file, 0, tmp_path) < 5
    monkeypatch.setattr(embedded_pictures, "GROUP_BYTES", 3000)
    with pytest.raises(
        DataError, match=r"row group 0 holds \d+ MiB in one column\. Write the file in smaller row groups"
    ):
        list(rows_of_pictures(tmp_path / "i.parquet", "image", {2}))


@pytest.mark.parametrize("name", ["a b.parquet", "x:y#z.parquet", "día=1/ü.parquet", "a%20b.parquet"])
def test_a_place_is_read_as_it_was_written(name):
    place = Embedded("0" * 64, 7, name, "my: image")
    assert embedded(place.reference()) == place
    assert " " not in place.reference()
