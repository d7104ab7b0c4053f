"""Short versions of the two long trials, and whether what they look with sees anything."""

import sqlite3

import pandas as pd
import pytest
from endurance.chaos import BAD, chaos
from endurance.counting import KEYWORDS, PICTURES
from endurance.expectation import Expectation, State
from endurance.soak import soak
from endurance.soundness import lost, temporary_files, torn, versions
from endurance.source import Source

from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.files import temporary
from mmsra_pipeline.storage.tables import Store


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.weights
@pytest.mark.timeout(3600)
def test_kills_at_random_instants_tear_and_lose_nothing(tmp_path):
    tally = chaos(tmp_path, kills=3, seed=0)
    assert tally["kills"] == 3
    assert {what: tally[what] for what in BAD if tally[what]} == {}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.weights
@pytest.mark.timeout(3600)
def test_nights_of_kills_full_disks_and_two_at_once_end_as_a_run_from_nothing(tmp_path):
    tally = soak(tmp_path, nights=3, size="tiny", seed=0)
    assert tally["nights"] == 3
    assert [what for what in tally if what.isupper()] == []


@pytest.fixture
def root(tmp_path):
    Store(tmp_path / "data").replace("metrics", "shop", pd.DataFrame({"value": [1.0, None]}))
    with Artifacts(tmp_path / "artifacts").publish("recommender", "shop") as folder:
        (folder / "weights").write_bytes(b"1")
    Artifacts(tmp_path / "artifacts").put_blob("images", b"picture", ".jpg")
    return tmp_path


def slice_file(root):
    return root / "data" / "metrics" / "shop" / f"{versions(root)['data/metrics/shop']}.parquet"


def test_a_root_that_is_whole_is_said_to_be(root):
    known = {}
    assert torn(root, known) == []
    assert torn(root, known) == []
    assert set(versions(root)) == {"data/metrics/shop", "artifacts/recommender/shop"}
    assert temporary_files(root) == []


def test_a_slice_that_is_cut_off_or_gone_is_seen(root):
    content = slice_file(root).read_bytes()
    slice_file(root).write_bytes(content[:-20])
    assert "cannot be read" in torn(root, {})[0]
    slice_file(root).unlink()
    assert "which is not there" in torn(root, {})[0]


def test_a_slice_whose_bytes_change_under_the_same_name_is_seen(root):
    known = {}
    torn(root, known)
    Store(root / "data").replace("other", "shop", pd.DataFrame({"value": [2.0]}))
    [other] = (root / "data" / "other" / "shop").glob("*.parquet")
    slice_file(root).write_bytes(other.read_bytes())
    assert any("has other bytes than before" in text for text in torn(root, known))


def test_artifacts_and_pictures_with_other_content_than_their_name_tells_are_seen(root):
    next(root.glob("artifacts/recommender/shop/*/weights")).write_bytes(b"2")
    next(root.glob("artifacts/images/blobs/*/*.jpg")).write_bytes(b"half a pic")
    assert len([text for text in torn(root, {}) if "other content than its name" in text]) == 2


def test_what_was_published_and_is_gone_is_lost(root):
    before = versions(root)
    (root / "data" / "metrics" / "shop" / "current").unlink()
    assert lost(before, root) == [f"data/metrics/shop {before['data/metrics/shop']}"]


def test_half_written_files_are_seen_wherever_they_lie(root):
    left = temporary(root / "data" / "metrics" / "shop")
    left.write_bytes(b"")
    building = root / "artifacts" / "sources" / "shop" / ".sample-tiny-0-99"
    building.mkdir(parents=True)
    with sqlite3.connect(root / "runs.db", isolation_level=None) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table runs (name)")
        assert set(temporary_files(root)) == {left, building, root / "runs.db-wal"}


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source", "tiny", 0)


def expectation(source):
    return Expectation(source, drafts=4, seed=0)


def judged(expecting, source, counted=None, computed=(), tries=1):
    return expecting.judge(
        State.of(source), {KEYWORDS: 0, PICTURES: 0} | (counted or {}), computed, tries=tries, batch=8
    )


def test_a_quiet_night_must_compute_nothing(source):
    expecting = expectation(source)
    assert judged(expecting, source) == []
    assert judged(expecting, source, computed=["metrics"]) == ["metrics was materialized, but nothing has changed"]
    assert judged(expecting, source, {KEYWORDS: 1}) == [f"{KEYWORDS}: 1, but 0 were needed"]


def test_a_broken_picture_costs_one_look_at_it_and_new_keywords_of_its_item_but_not_when_it_is_fixed(source):
    expecting = Expectation(source, drafts=0, seed=0)
    source._break(1)
    assert judged(expecting, source, {KEYWORDS: 1, PICTURES: 1}) == []
    source._repair(1)
    assert judged(expecting, source, {KEYWORDS: 0, PICTURES: 1}) == []


def test_each_try_that_was_stopped_may_lose_a_batch_of_keywords_and_no_more(source):
    expecting = Expectation(source, drafts=0, seed=0)
    source._describe(1)
    assert judged(expecting, source, {KEYWORDS: 10}, tries=2) == [f"{KEYWORDS}: 10, but 1 to 9 were needed"]


def test_texts_that_change_must_leave_what_is_made_of_reviews_alone(source):
    expecting = Expectation(source, drafts=0, seed=0)
    source._describe(1)
    findings = judged(expecting, source, {KEYWORDS: 1}, computed=["raw_reviews", "sequences", "recommender"])
    assert findings == [
        "training recommender was materialized",
        "sequences was materialized, but no review is new",
    ]
