import pandas as pd
import pytest
from items.web.picture_server import PictureServer, resolve

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.items.images import build_item_images
from mmsra_pipeline.items.web.alternatives import MOST_URLS, fetch_first


@pytest.fixture
def server():
    with PictureServer().running() as running:
        yield running


def config_of(server, **changes):
    rules = {"enabled": True, "ports": [server.port], "backoff_seconds": 0.01, "tries": 1, "host_failures": 99}
    return ItemsConfig(fetch=rules | changes)


def cell(server, *names):
    return " ".join(server.url(name) for name in names)


def test_the_first_url_that_gives_a_picture_is_used_and_none_after_it_is_asked_for(server, artifacts):
    cells = [cell(server, *names) for names in (
        ("no-such.png", "page.jpg", "good.png", "versioned.png"), ("good.png", "moved.png"),
        ("failing.png", "good.png"), ("no-such.png", "page.jpg"), ("gone.png",),
    )]  # fmt: skip
    found = fetch_first(cells, artifacts, config_of(server), resolve=resolve)
    assert [found[each].status for each in cells] == ["ok", "ok", "ok", "missing", "missing"]
    assert "answered 404" in found[cells[3]].reason
    assert [server.count(name) for name in ("no-such.png", "page.jpg", "good.png")] == [1, 1, 1]
    assert server.count("versioned.png") == server.count("moved.png") == 0


def test_of_many_urls_a_few_are_tried(server, artifacts):
    many = cell(server, *["no-such.png", "gone.png", "forbidden.png", "page.jpg", "good.png"][-MOST_URLS - 1 :])
    assert fetch_first([many], artifacts, config_of(server), resolve=resolve)[many].status == "missing"


def test_an_item_gets_the_picture_of_its_second_url(server, artifacts):
    raw = pd.DataFrame({"item_id": ["p1"], "image": [cell(server, "no-such.png", "good.png")], "image_sha256": [None]})
    result = build_item_images(raw, ["p1"], None, artifacts, config_of(server), resolve=resolve)
    assert result["status"].tolist() == ["ok"]


def test_nothing_is_asked_for_unless_it_is_wanted(server, artifacts):
    both = cell(server, "good.png", "moved.png")
    found = fetch_first([both], artifacts, config_of(server, enabled=False), resolve=resolve)[both]
    assert (found.status, "items.fetch.enabled is off" in found.reason) == ("missing", True)
    assert server.asked == []
