"""`mmsra keywords` as a user meets it."""

import json
import sys

import pandas as pd
import pytest
from PIL import Image

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.evaluation.keyword_report import worst_items
from mmsra_pipeline.items.decoding import to_jpeg
from mmsra_pipeline.items.picture_store import store_picture
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.tables import Store

NAN = float("nan")


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    return find_paths()


@pytest.fixture
def mmsra(paths, monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["mmsra", "keywords", "-d", "shop", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def quality():
    return pd.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "source": ["model", "model", "model", "none"],
            "well_formed": [True, True, False, True],
            "image_keywords": [["red", "mug"], [], ["blue"], []],
            "text_keywords": [["ceramic"], ["wool"], ["toy"], []],
            "confidence_image": [0.75, NAN, 0.25, NAN],
            "confidence_text": [0.5, 0.125, NAN, NAN],
            "retrieval_rank": [1.0, 2.5, 3.0, NAN],
            "copied": [0.5, 1.0, 0.0, 0.0],
            "suspicious": ["", "", "title: chat marker", ""],
        }
    )


@pytest.fixture
def shop(paths):
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    store = Store(paths.data)
    store.replace(Tables.KEYWORD_QUALITY, "shop", quality())
    rows = [("format_rate", 0.75, 0.5, 1.0, 4), ("retrieval@1 text - extractive", -0.25, -0.5, 0.0, 3),
            ("distinct_keywords", 6.0, NAN, NAN, 4)]  # fmt: skip
    panel = pd.DataFrame(rows, columns=["measure", "value", "low", "high", "n"])
    store.replace(Tables.KEYWORD_PANEL, "shop", panel)
    texts = pd.DataFrame({"item_id": ["a", "b", "c", "d"], "title": ["Mug", "", "Toy", ""]})
    store.replace(Tables.ITEM_TEXT, "shop", texts.assign(text=["A mug. " * 99, "wool", "Toy", ""]))
    drafts = quality().head(1).assign(image_keywords=[["thing"]])
    store.replace(Tables.DRAFT_KEYWORDS, "shop", drafts[["item_id", "image_keywords", "text_keywords"]])
    picture = store_picture(to_jpeg(Image.new("RGB", (8, 8), "red")), Artifacts(paths.artifacts), ItemsConfig())
    images = {"item_id": ["a", "b"], "image_sha256": [picture.image_sha256, None], "status": ["ok", "missing"]}
    store.replace(Tables.ITEM_IMAGES, "shop", pd.DataFrame(images | {"reason": [None, "the source names no picture"]}))
    return store


def test_the_panel_is_printed_as_text_and_as_json(mmsra, shop):
    code, out, _ = mmsra()
    assert code == 0
    assert out.startswith("keywords of shop: means over items [95 % interval]")
    assert "format_rate                   0.750 [0.500, 1.000]  n=4" in out
    answer = json.loads(mmsra("--json")[1])
    assert answer["dataset"] == "shop"
    assert answer["panel"][2] == {"measure": "distinct_keywords", "value": 6.0, "low": None, "high": None, "n": 4}


def test_an_item_is_shown_with_text_picture_draft_and_what_is_known_of_it(mmsra, shop, paths):
    code, out, _ = mmsra("--item", "a", "--json")
    description = json.loads(out)
    assert code == 0
    assert description["title"] == "Mug"
    assert len(description["text"]) == 300
    assert description["text"].endswith("...")
    assert description["keywords"] == {"picture": ["red", "mug"], "text": ["ceramic"]}
    assert description["draft"] == {"picture": ["thing"], "text": ["ceramic"]}
    assert description["confidence"] == {"picture": 0.75, "text": 0.5}
    assert description["retrieval_rank"] == 1.0
    with Image.open(description["image"]["path"]) as image:
        assert image.size == (8, 8)
    _, out, _ = mmsra("--item", "a")
    lines = [line.split() for line in out.splitlines()]
    assert ["│", "picture", "│", "thing", "│", "red,", "mug", "│", "0.75", "│"] in lines
    assert ["written", "by", "model"] in lines


def test_an_item_without_picture_draft_and_rank_says_so(mmsra, shop):
    _, out, _ = mmsra("-i", "b")
    assert "none: the source names no picture" in out
    assert "not drafted" in out
    description = json.loads(mmsra("-i", "d", "--json")[1])
    assert description["retrieval_rank"] is description["confidence"]["text"] is None
    assert description["draft"] is description["image"]["path"] is None


def test_the_worst_come_by_rank_and_by_confidence_in_turn(mmsra, shop):
    assert worst_items(quality(), 4)["item_id"].tolist() == ["c", "b", "a", "d"]  # c: rank 3; b: 0.125
    swapped = quality().assign(retrieval_rank=[9.0, 1.0, 2.0, NAN])
    assert worst_items(swapped, 3)["item_id"].tolist() == ["a", "b", "c"]
    answer = json.loads(mmsra("--worst", "2", "--json")[1])
    assert [entry["item"] for entry in answer["items"]] == ["c", "b"]
    _, out, _ = mmsra("--worst", "2")
    assert "2 of 4 items, worst by retrieval rank and confidence" in out
    assert "title: chat marker" in out


def test_items_at_random_are_each_there_once(mmsra, shop):
    answer = json.loads(mmsra("--random", "9", "--json")[1])
    assert sorted(entry["item"] for entry in answer["items"]) == ["a", "b", "c", "d"]


def test_an_unknown_item_and_two_wishes_at_once_are_refused(mmsra, shop):
    code, _, err = mmsra("--item", "x")
    assert code == 1
    assert "item 'x' of dataset 'shop' is not in keyword_quality, which has 4 items, for example 'a'" in err
    code, _, err = mmsra("--item", "a", "--worst", "3")
    assert code == 1
    assert "Give one of them" in err


def test_before_anything_was_measured_it_says_what_to_run(mmsra, paths):
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\n")
    code, _, err = mmsra()
    assert code == 1
    assert "mmsra refresh --dataset shop" in err
