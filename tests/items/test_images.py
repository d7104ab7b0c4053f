import hashlib
import io
import logging
import re
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from items.web.picture_server import PictureServer, resolve
from PIL import Image

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.ingest.picture_paths import hash_image
from mmsra_pipeline.ingest.raw_tables import item_table
from mmsra_pipeline.items import images as images_module
from mmsra_pipeline.items import picture_store
from mmsra_pipeline.items.images import ItemImages, build_item_images, image_status, load_image
from mmsra_pipeline.items.picture_store import store_picture
from mmsra_pipeline.storage.artifacts import Artifacts


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (40, 20), "red").save(folder / "a.png")
    (folder / "bad.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "secret.png")
    return folder


def raw_items(root, **images: str | None) -> pd.DataFrame:
    table = pd.DataFrame({"item_id": list(images), "image": list(images.values())}, dtype="str")
    hashes = [hash_image(image, root) for image in images.values()]
    return item_table(table.assign(image_sha256=pd.Series(hashes, dtype="str")))


def build(root, artifacts, items, ids=None, previous=None, **settings):
    ids = items["item_id"].tolist() if ids is None else ids
    return build_item_images(items, ids, root, artifacts, ItemsConfig(**settings), previous).set_index("item_id")


def count_decodings(monkeypatch) -> list[bytes]:
    decoded: list[bytes] = []
    original = picture_store.decode_image

    def counting(content, **bounds):
        decoded.append(content)
        return original(content, **bounds)

    monkeypatch.setattr(picture_store, "decode_image", counting)
    return decoded


def test_each_item_gets_a_status_and_a_broken_one_does_not_stop_the_rest(root, artifacts, caplog):
    items = raw_items(
        root, bad="bad.png", none=None, gone="gone.png", out="../secret.png", url="https://x.org/a.png", a="a.png"
    )
    with caplog.at_level(logging.WARNING):
        table = build(root, artifacts, items, [*items["item_id"], "unknown"])
    assert table["status"].to_dict() == {
        "bad": "broken", "none": "missing", "gone": "missing", "out": "broken", "url": "missing", "a": "ok",
        "unknown": "missing",
    }  # fmt: skip
    reasons = table["reason"].fillna("").to_dict()
    assert reasons["bad"].startswith("not readable as a picture")
    assert reasons["none"] == reasons["unknown"]
    assert reasons["none"].startswith(
        "the source names no picture, and no file is called as the item: the folder images"
    )
    assert reasons["gone"] == "'gone.png' is not there: the folder images holds 2 picture(s), such as 'a.png'"
    assert reasons["out"] == "'../secret.png' leads out of the picture folder and was not read"
    assert reasons["url"].startswith("a URL, and items.fetch.enabled is off")
    assert reasons["a"] == ""
    assert table["image_sha256"].notna().to_dict() == {item: item == "a" for item in table.index}
    assert "picture of item bad" in caplog.text


def test_a_stored_picture_lies_under_the_hash_of_its_bytes_within_the_side(root, artifacts):
    row = build(root, artifacts, raw_items(root, a="a.png"), image_side=10).loc["a"]
    path = artifacts.blob_path("images", row["image_sha256"], ".jpg")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row["image_sha256"]
    assert (row["width"], row["height"]) == (10, 5)
    picture = load_image(artifacts, row["image_sha256"])
    assert (picture.mode, picture.size, picture.format) == ("RGB", (10, 5), None)


def test_unchanged_pictures_are_not_decoded_again(root, artifacts, monkeypatch):
    items = raw_items(root, a="a.png", bad="bad.png")
    before = build(root, artifacts, items).reset_index()
    decoded = count_decodings(monkeypatch)
    again = build(root, artifacts, items, previous=before).reset_index()
    assert decoded == []
    pd.testing.assert_frame_equal(again, before)


def test_a_changed_picture_a_changed_setting_or_a_lost_jpeg_is_decoded_again(root, artifacts, monkeypatch):
    items = raw_items(root, a="a.png")
    before = build(root, artifacts, items).reset_index()
    decoded = count_decodings(monkeypatch)
    build(root, artifacts, items, previous=before, image_side=8)
    assert len(decoded) == 1
    artifacts.blob_path("images", before["image_sha256"][0], ".jpg").unlink()
    build(root, artifacts, items, previous=before)
    assert len(decoded) == 2
    Image.new("RGB", (40, 20), "green").save(root / "a.png")
    changed = build(root, artifacts, raw_items(root, a="a.png"), previous=before)
    assert len(decoded) == 3
    assert changed.loc["a", "image_sha256"] != before["image_sha256"][0]


def test_an_earlier_result_survives_the_store(root, artifacts, store, monkeypatch):
    items = raw_items(root, a="a.png", bad="bad.png")
    before = build(root, artifacts, items).reset_index()
    first = store.replace("item_images", "shop", before)
    decoded = count_decodings(monkeypatch)
    again = build(root, artifacts, items, previous=store.read("item_images", "shop")).reset_index()
    assert decoded == []
    assert store.replace("item_images", "shop", again).version == first.version


def test_what_is_said_of_a_broken_picture_is_the_same_whatever_had_its_bytes_before(root, artifacts):
    before = build(root, artifacts, raw_items(root, bad="bad.png")).reset_index()
    (root / "same.png").write_bytes((root / "bad.png").read_bytes())
    items = raw_items(root, bad="bad.png", same="same.png")
    pd.testing.assert_frame_equal(build(root, artifacts, items, previous=before), build(root, artifacts, items))


def test_without_a_picture_folder_all_pictures_are_missing(artifacts):
    table = build(None, artifacts, raw_items(None, a="a.png"))
    assert table.loc["a", ["status", "reason"]].tolist() == [
        "missing",
        "the data set has no picture folder; name it in the YAML: `images: FOLDER`",
    ]


def test_item_images_gives_pictures_by_item_and_none_without(root, artifacts):
    table = build(root, artifacts, raw_items(root, a="a.png", bad="bad.png")).reset_index()
    images = ItemImages(artifacts, table)
    picture = images.get("a")
    assert picture is not None
    assert picture.size == (40, 20)
    assert images.get("a") is picture
    assert images.get("bad") is None
    assert images.get("unknown") is None
    assert images.image_hash("a") == table["image_sha256"][0]


def test_a_picture_that_was_deleted_says_how_to_fix_it(artifacts):
    with pytest.raises(MissingInputError, match=r"picture f00 is not in .*Materialize item_images again"):
        load_image(artifacts, "f00")


def test_items_without_a_usable_picture_are_listed_with_what_the_source_names_and_the_reason(root, artifacts, store):
    items = raw_items(root, bad="bad.png", none=None, a="a.png", url="https://x.org/a.png")
    table = build(root, artifacts, items, [*items["item_id"], "unknown"]).reset_index()
    listed = image_status(table, items)
    assert listed["item_id"].tolist() == ["bad", "none", "url", "unknown"]
    assert listed["image"].fillna("").tolist() == ["bad.png", "", "https://x.org/a.png", ""]
    assert listed["status"].tolist() == ["broken", "missing", "missing", "missing"]
    assert listed["reason"].notna().all()
    none = image_status(table[table["status"] == "ok"], items)
    assert (len(none), list(none)) == (0, list(listed))
    store.replace("image_status", "shop", none)
    assert store.read("image_status", "shop").dtypes.to_dict() == listed.dtypes.to_dict()


def test_pictures_by_url_and_from_the_folder_go_together(root, artifacts):
    with PictureServer().running() as server:
        items = raw_items(
            root, a="a.png", web=server.url("good.png"), same=server.url("good.png"), gone=server.url("x")
        )
        config = ItemsConfig(fetch={"enabled": True, "ports": [server.port]})
        ids = items["item_id"].tolist()
        table = build_item_images(items, ids, root, artifacts, config, resolve=resolve)
        again = build_item_images(items, ids, root, artifacts, config, table, resolve=resolve)
    assert table["status"].tolist() == ["ok", "ok", "ok", "missing"]
    assert table["image_sha256"][0] == table["image_sha256"][1] == table["image_sha256"][2]
    assert table["source_key"].notna().tolist() == [True, True, True, False]
    pd.testing.assert_frame_equal(again, table)
    assert server.count("good.png") == 1


def test_a_stored_picture_has_a_perceptual_hash_and_a_mean_colour(root, artifacts):
    table = build(root, artifacts, raw_items(root, a="a.png", bad="bad.png"))
    assert table.loc["a", "mean_color"] == "ff0000"
    assert re.fullmatch("[0-9a-f]{16}", table.loc["a", "perceptual_hash"])
    assert table.loc["bad", ["perceptual_hash", "mean_color"]].isna().all()


def test_a_result_of_an_earlier_form_is_not_used(root, artifacts, monkeypatch):
    items = raw_items(root, a="a.png")
    before = build(root, artifacts, items).reset_index()
    decoded = count_decodings(monkeypatch)
    build(root, artifacts, items, previous=before.drop(columns=["perceptual_hash"]))
    assert len(decoded) == 1


def test_a_file_that_is_too_large_is_not_even_read(root, artifacts, monkeypatch):
    monkeypatch.setattr(images_module, "MAX_BYTES", 50)
    items = raw_items(root, a="a.png")
    decoded = count_decodings(monkeypatch)
    row = build(root, artifacts, items).loc["a"]
    assert (row["status"], decoded) == ("broken", [])
    assert "more than 50" in row["reason"]


def test_many_threads_may_store_one_picture(tmp_path):
    content = [encoded(Image.new("RGB", (300, 300), (shade, 0, 0))) for shade in range(6)]
    with ThreadPoolExecutor(8) as pool:
        for picture in content:
            jobs = [pool.submit(store_picture, picture, Artifacts(tmp_path), ItemsConfig()) for _ in range(8)]
            assert {job.result().status for job in jobs} == {"ok"}


def encoded(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()
