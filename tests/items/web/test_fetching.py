import itertools
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from items.web import fetching_process
from items.web.picture_server import HOST, PictureServer, png, resolve

from mmsra_pipeline.config.tree import FetchConfig, ItemsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items import picture_store
from mmsra_pipeline.items.picture_store import Picture
from mmsra_pipeline.items.web.downloads import Validators
from mmsra_pipeline.items.web.fetch_journal import Entry, FetchJournal
from mmsra_pipeline.items.web.fetching import fetch_pictures
from mmsra_pipeline.items.web.http_client import BOUNDS
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.telemetry import progress

TESTS = Path(__file__).parents[2]
QUICK = {"backoff_seconds": 0.01, "deadline_seconds": 2.0, "max_bytes": 5_000_000}
OUTCOMES = {
    "good.png": ("ok", None),
    "mislabelled.jpg": ("ok", None),
    "moved.png": ("ok", None),
    "versioned.png": ("ok", None),
    "failing-once.png": ("ok", None),
    "busy-once.png": ("ok", None),
    "no-such.png": ("missing", f"{HOST} answered 404"),
    "gone.png": ("missing", f"{HOST} answered 410"),
    "forbidden.png": ("missing", f"{HOST} answered 403"),
    "page.jpg": ("broken", "the file is HTML or XML"),
    "drawing.svg": ("broken", "the file is SVG"),
    "empty.png": ("broken", "the file is empty"),
    "bomb.png": ("broken", "400000000 pixels are more than items.max_image_pixels (40000000)"),
    "large.png": ("broken", "it has 2000000000 bytes, more than items.fetch.max_bytes (5000000)"),
    "endless.png": ("broken", "it has more bytes than items.fetch.max_bytes (5000000)"),
    "compressed.png": ("broken", "it came compressed (deflate), which was not asked for"),
    "to-loopback.png": ("broken", "127.0.0.1 is at 127.0.0.1, which is not a public address"),
    "to-localhost.png": ("broken", "which is not a public address"),
    "to-mapped.png": ("broken", "which is not a public address"),
    "to-decimal.png": ("broken", "2130706433 is at 127.0.0.1, which is not a public address"),
    "to-file.png": ("broken", f"redirected by {HOST}: 'file:///etc/passwd' is not of http or https"),
    "to-user.png": ("broken", "names a user, which a picture's URL must not"),
    "to-ssh.png": ("broken", "has port 22, which is not in items.fetch.ports"),
    "loop.png": ("broken", "it was redirected more than 5 times"),
    "nowhere.png": ("broken", f"{HOST} redirected it without saying where to"),
    "failing.png": ("unreachable", f"{HOST} answered 500 (try 3 of 3; the next run tries again)"),
    "truncated.png": ("unreachable", "peer closed connection without sending complete message body"),
    "trickling.png": (
        "unreachable",
        f"{HOST} did not answer in time ({BOUNDS})",
    ),
    "trickling-headers.png": ("unreachable", f"{HOST} did not answer in time"),
    "silent.png": ("unreachable", f"{HOST} did not answer in time"),
}


@pytest.fixture
def server():
    with PictureServer().running() as running:
        yield running


def settings(server: PictureServer, **changes) -> dict:
    return {"enabled": True, "ports": [80, 443, server.port], **QUICK, **changes}


def fetch(server, artifacts, *paths: str, resolve=resolve, form=None, **changes) -> dict[str, Picture]:
    """What became of pictures, by path."""
    config = ItemsConfig(fetch=settings(server, **changes), **(form or {}))
    urls = [path if "://" in path else server.url(path) for path in paths]
    found = fetch_pictures(urls, artifacts, config, resolve=resolve)
    return dict(zip(paths, (found[url] for url in urls)))


def statuses(found: dict[str, Picture]) -> dict[str, str]:
    return {path: picture.status for path, picture in found.items()}


@pytest.mark.parametrize("path", OUTCOMES)
def test_each_kind_of_answer_ends_as_documented(path, server, artifacts):
    picture = fetch(server, artifacts, path)[path]
    status, reason = OUTCOMES[path]
    assert picture.status == status, picture.reason
    assert (reason or "") in (picture.reason or "")
    assert (picture.image_sha256 is not None) == (picture.perceptual_hash is not None) == (status == "ok")


def in_process(folder, server, paths, **changes) -> subprocess.Popen:
    command = [sys.executable, fetching_process.__file__, str(folder), json.dumps(settings(server, **changes))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    urls = json.dumps([server.url(path) for path in paths])
    return subprocess.Popen([*command, urls], env=environment, stdout=subprocess.PIPE, text=True)


def test_all_of_them_together_stay_within_bounded_memory(server, tmp_path):
    process = in_process(tmp_path, server, OUTCOMES, per_host=8, host_failures=1000)
    done = json.loads(process.communicate(timeout=120)[0])
    assert done["statuses"] == {server.url(path): status for path, (status, _) in OUTCOMES.items()}
    assert done["peak_megabytes"] < 300


def test_nothing_is_asked_for_unless_the_user_wants_it(server, artifacts):
    [picture] = fetch(server, artifacts, "good.png", enabled=False).values()
    assert (picture.status, server.asked) == ("missing", [])
    assert picture.reason == (
        "a URL, and items.fetch.enabled is off: set it to true to have pictures fetched from the web"
    )
    assert not FetchConfig().enabled
    assert not artifacts.root.exists()


def test_without_the_web_pictures_that_were_fetched_before_are_used(server, artifacts):
    before = fetch(server, artifacts, "good.png", "gone.png")
    server.asked.clear()
    found = fetch(server, artifacts, "good.png", "gone.png", "moved.png", enabled=False, revalidate_days=0)
    assert found.pop("moved.png").status == "missing"
    assert found == before
    assert server.asked == []


def test_a_picture_is_stored_as_a_file_of_the_same_bytes_would_be(server, artifacts):
    picture = fetch(server, artifacts, "good.png")["good.png"]
    config = ItemsConfig()
    assert picture == picture_store.store_picture(png(), artifacts, config)
    assert artifacts.blob_path("images", picture.image_sha256, ".jpg").is_file()


def test_what_is_known_is_not_asked_for_again_before_its_time(server, artifacts):
    before = fetch(server, artifacts, "good.png", "gone.png", "page.jpg", "to-loopback.png")
    server.asked.clear()
    assert fetch(server, artifacts, "good.png", "gone.png", "page.jpg", "to-loopback.png") == before
    assert server.asked == []


@pytest.mark.parametrize("path", ["versioned.png", "dated.png"])
def test_after_its_time_a_picture_is_asked_about_and_stays_if_it_is_the_same(path, server, artifacts, monkeypatch):
    before = fetch(server, artifacts, path)
    decoded = []
    monkeypatch.setattr(picture_store, "decode_image", lambda *args, **bounds: decoded.append(args))
    assert fetch(server, artifacts, path, revalidate_days=0) == before
    assert (server.count(path), decoded) == (2, [])
    asked = server.headers[f"/{path}"]
    assert "if-none-match" in asked or "if-modified-since" in asked


def test_after_its_time_a_changed_picture_takes_the_place_of_the_old_one(server, artifacts):
    before = fetch(server, artifacts, "versioned.png")
    server.routes["/versioned.png"] = lambda handler: handler.answer(200, png("yellow"), ETag='"second"')
    after = fetch(server, artifacts, "versioned.png", revalidate_days=0)
    assert after["versioned.png"].status == "ok"
    assert after["versioned.png"].image_sha256 != before["versioned.png"].image_sha256


def test_a_server_that_fails_takes_no_earlier_picture_away_and_is_asked_in_the_next_run(server, artifacts):
    before = fetch(server, artifacts, "versioned.png")
    server.routes["/versioned.png"] = server.routes["/failing.png"]
    assert fetch(server, artifacts, "versioned.png", revalidate_days=0, tries=1) == before
    assert fetch(server, artifacts, "versioned.png", revalidate_days=1e-9, tries=1) == before
    assert server.count("versioned.png") == 3


def test_a_server_that_no_longer_has_it_takes_the_picture_away(server, artifacts):
    fetch(server, artifacts, "good.png")
    server.routes["/good.png"] = server.routes["/gone.png"]
    assert statuses(fetch(server, artifacts, "good.png", revalidate_days=0)) == {"good.png": "missing"}


def test_what_may_pass_is_asked_for_in_the_next_run(server, artifacts):
    assert statuses(fetch(server, artifacts, "failing.png", tries=1)) == {"failing.png": "unreachable"}
    server.routes["/failing.png"] = server.routes["/good.png"]
    assert statuses(fetch(server, artifacts, "failing.png", tries=1)) == {"failing.png": "ok"}


@pytest.mark.parametrize(
    ("path", "form", "rules"),
    [
        ("versioned.png", {"image_side": 8}, {}),
        ("versioned.png", {"max_image_pixels": 1000}, {}),
        ("large.png", {}, {"max_bytes": 1_000_000}),
        ("to-ssh.png", {}, {"ports": [80, 443, 22]}),
    ],
)
def test_other_settings_ask_again_for_what_they_bear_on_without_conditions(path, form, rules, server, artifacts):
    fetch(server, artifacts, path, "gone.png")
    rules = {name: [*value, server.port] if name == "ports" else value for name, value in rules.items()}
    fetch(server, artifacts, path, form=form, tries=1, **rules)
    assert server.count(path) == 2
    assert "if-none-match" not in server.headers[f"/{path}"]


def test_a_larger_bound_of_bytes_does_not_fetch_again_what_was_fetched(server, artifacts):
    fetch(server, artifacts, "good.png")
    fetch(server, artifacts, "good.png", max_bytes=6_000_000)
    assert server.count("good.png") == 1


def test_a_lost_jpeg_is_fetched_again_without_conditions(server, artifacts):
    picture = fetch(server, artifacts, "versioned.png")["versioned.png"]
    artifacts.blob_path("images", picture.image_sha256, ".jpg").unlink()
    assert fetch(server, artifacts, "versioned.png") == {"versioned.png": picture}
    assert server.count("versioned.png") == 2


def test_a_url_is_fetched_once_however_many_items_have_it(server, artifacts):
    config = ItemsConfig(fetch=settings(server))
    url = server.url("good.png")
    assert set(fetch_pictures([url, url, url], artifacts, config, resolve=resolve)) == {url}
    assert server.count("good.png") == 1


def test_five_redirects_are_followed_and_a_sixth_is_not(server, artifacts):
    for number in range(6):
        place = f"/{number + 1}.png" if number < 5 else "/good.png"
        server.routes[f"/{number}.png"] = lambda handler, place=place: handler.answer(302, Location=place)
    assert statuses(fetch(server, artifacts, "0.png", "1.png")) == {"0.png": "broken", "1.png": "ok"}
    assert server.count("good.png") == 1


def test_robots_txt_is_read_once_and_kept_to(server, artifacts):
    rules = b"User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /private/\n"
    server.routes["/robots.txt"] = lambda handler: handler.answer(200, rules)
    server.routes["/private/a.png"] = server.routes["/to-private.png"] = server.routes["/good.png"]
    server.routes["/to-private.png"] = lambda handler: handler.answer(302, Location="/private/a.png")
    found = fetch(server, artifacts, "good.png", "private/a.png", "to-private.png")
    assert statuses(found) == {"good.png": "ok", "private/a.png": "broken", "to-private.png": "broken"}
    assert found["private/a.png"].reason == f"robots.txt of {HOST} does not allow it (items.fetch.respect_robots)"
    assert (server.count("robots.txt"), server.count("private/a.png")) == (1, 0)
    again = fetch(server, artifacts, "private/a.png", respect_robots=False)
    assert statuses(again) == {"private/a.png": "ok"}
    assert server.count("robots.txt") == 1


def test_our_name_in_robots_txt_is_known(server, artifacts):
    server.routes["/robots.txt"] = lambda handler: handler.answer(200, b"User-agent: mmsra-pipeline\nDisallow: /\n")
    assert statuses(fetch(server, artifacts, "good.png")) == {"good.png": "broken"}


def test_while_robots_txt_cannot_be_read_nothing_is(server, artifacts):
    server.routes["/robots.txt"] = server.routes["/failing.png"]
    picture = fetch(server, artifacts, "good.png")["good.png"]
    assert (picture.status, server.count("good.png")) == ("unreachable", 0)
    assert "robots.txt: pictures.test answered 500" in picture.reason


def test_a_crawl_delay_is_kept_between_requests(server, artifacts):
    server.routes["/robots.txt"] = lambda handler: handler.answer(200, b"User-agent: *\nCrawl-delay: 1\n")
    paths = ["versioned.png", "mislabelled.jpg"]
    fetch(server, artifacts, *paths, per_host=1)
    first, second = sorted(server.times[f"/{path}"][0] for path in paths)
    assert second - first >= 0.5  # a request may reach a busy server late


def test_a_pause_is_kept_between_requests_to_one_host(server, artifacts):
    paths = ["good.png", "versioned.png", "mislabelled.jpg"]
    fetch(server, artifacts, *paths, pause_seconds=1.0, respect_robots=False)
    times = sorted(server.times[f"/{path}"][0] for path in paths)
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.5


def test_no_more_requests_than_wanted_are_under_way_at_one_host(server, artifacts):
    under_way, counts, lock = [], [], threading.Lock()

    def slowly(handler):
        with lock:
            under_way.append(handler.path)
            counts.append(len(under_way))
        time.sleep(0.1)
        with lock:
            under_way.remove(handler.path)  # before the answer, at which the client may ask for the next
        handler.answer(200, png())

    for number in range(12):
        server.routes[f"/{number}.png"] = slowly
    fetch(server, artifacts, *(f"{number}.png" for number in range(12)), per_host=2, respect_robots=False)
    assert max(counts) == 2


def test_a_wait_that_the_server_asks_for_is_kept(server, artifacts):
    assert statuses(fetch(server, artifacts, "busy-once.png")) == {"busy-once.png": "ok"}
    first, second = server.times["/busy-once.png"]
    assert second - first >= 0.5


def test_a_host_that_asks_for_a_long_wait_is_left_alone_for_this_run(server, artifacts):
    found = fetch(server, artifacts, "busy-for-long.png", "good.png", "moved.png", per_host=1, workers=1)
    assert set(statuses(found).values()) == {"unreachable"}
    asked = f"{HOST} asked to wait 3600 s, longer than items.fetch.retry_after_seconds"
    assert found["good.png"].reason == f"not tried: {asked}"
    assert (server.count("busy-for-long.png"), server.count("good.png")) == (1, 0)
    server.routes["/busy-for-long.png"] = server.routes["/good.png"]
    assert set(statuses(fetch(server, artifacts, *found)).values()) == {"ok"}


def test_a_host_that_fails_all_the_time_is_left_alone_for_this_run(server, artifacts):
    paths = [f"{number}.png" for number in range(30)]
    for path in paths:
        server.routes[f"/{path}"] = server.routes["/failing.png"]
    found = fetch(server, artifacts, *paths, f"http://other.{HOST}:{server.port}/good.png", host_failures=5, per_host=1)
    assert list(statuses(found).values()) == [*["unreachable"] * 30, "ok"]
    assert len(server.asked) <= 5 + 2 + 1  # the failures, robots.txt twice, the good one
    assert "failed 5 times in a row" in found["29.png"].reason


def test_a_closed_port_is_unreachable(server, artifacts):
    with PictureServer().running() as other:
        closed = other.port
    url = f"http://{HOST}:{closed}/good.png"
    picture = fetch(server, artifacts, url, ports=[closed])[url]
    assert (picture.status, "Connection refused" in picture.reason) == ("unreachable", True)


def test_a_name_at_a_private_address_is_refused_unless_allowed(server, artifacts):
    url = server.url("good.png", "localhost")
    picture = fetch(server, artifacts, url, resolve=None)[url]
    assert (picture.status, server.asked) == ("broken", [])
    assert "items.fetch.allow_private_addresses lets such be read" in picture.reason
    assert statuses(fetch(server, artifacts, url, resolve=None, allow_private_addresses=True)) == {url: "ok"}


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(artifacts):
    """A name server that answers otherwise the second time (DNS rebinding) does not lead elsewhere."""
    answers = []

    def rebinding(host: str, port: int) -> list[str]:
        answers.append("127.0.0.2" if answers else "127.0.0.1")
        return answers[-1:]

    with PictureServer().running() as meant, PictureServer("127.0.0.2", meant.port).running() as inside:
        found = fetch(meant, artifacts, "good.png", resolve=rebinding, respect_robots=False)
        assert statuses(found) == {"good.png": "ok"}
        assert (meant.asked, inside.asked, len(answers)) == (["/good.png"], [], 1)
        assert meant.headers["/good.png"]["host"] == f"{HOST}:{meant.port}"


def test_each_new_connection_is_checked_anew(server, artifacts):
    lookups = []

    def rebinding(host: str, port: int) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"] if len(lookups) == 1 else list(resolve("localhost", port))

    server.routes["/good.png"] = lambda handler: (handler.begin(), handler.wfile.write(png()))  # closes the connection
    found = fetch(server, artifacts, "good.png", "moved.png", resolve=rebinding, respect_robots=False, workers=1)
    assert statuses(found) == {"good.png": "ok", "moved.png": "broken"}
    assert len(lookups) == 2


def test_proxies_of_the_environment_are_not_used(server, artifacts, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert statuses(fetch(server, artifacts, "good.png")) == {"good.png": "ok"}


def test_requests_say_who_asks_and_take_nothing_compressed(server, artifacts):
    fetch(server, artifacts, "good.png", contact="https://shop.example/robot")
    sent = server.headers["/good.png"]
    assert sent["user-agent"].startswith("mmsra-pipeline/")
    assert sent["user-agent"].endswith(" (+https://shop.example/robot)")
    assert sent["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer"} & set(sent)


def test_a_contact_cannot_smuggle_a_header():
    with pytest.raises(ValueError, match="contact"):
        FetchConfig(contact="me\r\nX-Evil: 1")


def test_a_killed_run_loses_only_the_pictures_on_their_way(server, tmp_path):
    paths = [f"{number}.png" for number in range(30)]
    for number, path in enumerate(paths):
        picture = png(size=(10 + number, 10))
        server.routes[f"/{path}"] = lambda handler, body=picture: (time.sleep(0.1), handler.answer(200, body))
    process = in_process(tmp_path, server, paths, per_host=2)
    while len(server.asked) < 12 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    before = set(server.asked)
    found = fetch(server, Artifacts(tmp_path), *paths)
    assert set(statuses(found).values()) == {"ok"}
    twice = [path for path in paths if server.count(path) == 2]
    assert len(twice) <= 2  # as many as were on their way
    assert len(before) >= 12
    assert sum(server.count(path) for path in paths) == len(paths) + len(twice)


def test_an_error_of_this_machine_ends_the_run_and_is_no_status_of_a_picture(server, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "blobs").write_text("in the way")
    with pytest.raises(OSError, match="blobs"):
        fetch(server, Artifacts(tmp_path), "good.png", "mislabelled.jpg", "failing.png")


def test_a_damaged_journal_says_how_to_fix_it(server, artifacts):
    path = artifacts.root / "images" / "fetch_journal.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match=r"fetch_journal.sqlite: .* cannot be read .*Remove this file"):
        fetch(server, artifacts, "good.png")


def test_the_journal_tells_what_is_known_of_a_url(server, artifacts):
    fetch(server, artifacts, "versioned.png", "failing-once.png", "moved.png")
    with sqlite3.connect(artifacts.root / "images" / "fetch_journal.sqlite") as connection:
        rows = pd.read_sql("select * from pictures", connection).set_index("url")
    row = rows.loc[server.url("versioned.png")]
    assert (row["status"], row["etag"], row["tries"], row["width"]) == ("ok", '"first"', 1, 40)
    assert rows.loc[server.url("failing-once.png"), "tries"] == 2
    assert rows.loc[server.url("moved.png"), "final_url"] == server.url("good.png")
    assert abs(rows["checked_at"] - time.time()).max() < 60


def test_two_processes_may_write_one_journal(tmp_path):
    path = tmp_path / "journal.sqlite"
    journals = [FetchJournal(path), FetchJournal(path)]
    picture = Picture("f00", "ok", None, 4, 5, "0" * 16, "ffffff", "key")
    for number in range(40):
        validators = Validators(f"http://a/{number}", None, "yesterday") if number % 3 else None
        journals[number % 2].write(Entry(f"http://a/{number}", picture, "settings", float(number), 2, validators))
    urls = [f"http://a/{number}" for number in range(1200)]  # more than one question
    for journal in journals:
        found = journal.read(urls)
        assert set(found) == set(urls[:40])
        assert found[urls[1]] == Entry(urls[1], picture, "settings", 1.0, 2, Validators(urls[1], None, "yesterday"))
        assert found[urls[3]].validators is None
        journal.close()


def test_a_journal_of_another_version_begins_anew(server, artifacts):
    fetch(server, artifacts, "good.png")
    with sqlite3.connect(artifacts.root / "images" / "fetch_journal.sqlite") as connection:
        connection.execute("drop table pictures")
        connection.execute("create table pictures (url text)")
        connection.execute("pragma user_version = 99")
    assert statuses(fetch(server, artifacts, "good.png")) == {"good.png": "ok"}
    assert server.count("good.png") == 2


def test_progress_says_how_many_pictures_came_and_how_many_did_not(server, artifacts, caplog, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        fetch(server, artifacts, "good.png", "gone.png", "page.jpg", "moved.png")
    assert "pictures by URL: 0 known, 4 to ask for" in caplog.text
    last = [line for line in caplog.messages if line.startswith("pictures by URL: 4 of 4 pictures")]
    assert len(last) == 1
    assert re.search(r"/s · 0 s left · broken 1, missing 1, ok 2$", last[0])
