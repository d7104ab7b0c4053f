"""What machines that share an object store know of each other's pictures by URL."""

import pytest
from items.web.picture_server import PictureServer, resolve

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.items.unused_pictures import unused_pictures
from mmsra_pipeline.items.web.fetching import fetch_pictures
from mmsra_pipeline.storage.artifacts import Artifacts


@pytest.fixture
def server():
    with PictureServer().running() as running:
        yield running


def fetch(server, paths, *names, **changes):
    settings = {"enabled": True, "ports": [80, 443, server.port], "backoff_seconds": 0.01, "tries": 1, **changes}
    urls = [server.url(name) for name in names]
    found = fetch_pictures(urls, Artifacts.of(paths), ItemsConfig(fetch=settings), resolve=resolve)
    return [found[url] for url in urls]


def test_a_picture_that_one_machine_fetched_is_not_asked_for_by_another(server, machine):
    one, two = machine("one"), machine("two")
    first = fetch(server, one, "good.png", "gone.png")
    assert [picture.status for picture in first] == ["ok", "missing"]
    asked = len(server.asked)
    assert fetch(server, two, "good.png", "gone.png") == first
    assert fetch(server, two, "good.png", "gone.png", enabled=False) == first
    assert len(server.asked) == asked


def test_both_machines_know_in_the_end_what_either_fetched(server, machine):
    one, two = machine("one"), machine("two")
    fetch(server, one, "good.png")
    fetch(server, two, "moved.png")
    fetch(server, one, "versioned.png")
    count = len(server.asked)
    names = ("good.png", "moved.png", "versioned.png")
    assert [picture.status for picture in fetch(server, machine("three"), *names)] == ["ok"] * 3
    assert len(server.asked) == count


def test_what_was_asked_later_counts(server, machine):
    one, two = machine("one"), machine("two")
    fetch(server, one, "versioned.png")
    server.routes["/versioned.png"] = server.routes["/gone.png"]
    fetch(server, two, "versioned.png", revalidate_days=0)
    [picture] = fetch(server, one, "versioned.png")
    assert picture.status == "missing"


def test_a_picture_that_another_machine_fetched_is_not_unused(server, machine):
    fetch(server, machine("one"), "good.png")
    two = Artifacts.of(machine("two"))
    other = two.put_blob("images", b"picture", ".jpg")
    assert [entry.path.stem for entry in unused_pictures(two, [])] == [other]
