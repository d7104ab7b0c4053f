"""Tables, artifacts, pictures and keywords of a root in an object store, as several machines see them."""

import os
import shutil
import time
from functools import partial

import duckdb
import pandas as pd
import pytest

from mmsra_pipeline.config.operation import RetentionConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.orchestration.retention import removable_files
from mmsra_pipeline.storage import artifacts as artifacts_module
from mmsra_pipeline.storage import cache_exchange
from mmsra_pipeline.storage import tables as store_module
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.storage.object_store import ObjectStore
from mmsra_pipeline.storage.tables import Store


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


def rows(*values):
    return pd.DataFrame({"a": list(values)})


def values(machine, name, table="t"):
    return Store.of(machine(name)).read(table, "shop")["a"].tolist()


def catalog(paths, table="t"):
    with duckdb.connect(str(paths.data / "catalog.duckdb"), read_only=True) as connection:
        return connection.execute(f"select dataset, a from {table} order by all").fetchall()


def publish(paths, text):
    with Artifacts.of(paths).publish("adapter", "shop") as folder:
        (folder / "weights").write_text(text)
        (folder / "config").write_text("c")


def weights(paths):
    return (Artifacts.of(paths).current("adapter", "shop") / "weights").read_text()


def killed_at(monkeypatch, number, work):
    """Do some work that is killed before its upload of that number; say whether it was."""
    put, counted = ObjectStore._put, []

    def counting(self, file, path):
        counted.append(path)
        if len(counted) == number:
            raise KilledError
        put(self, file, path)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "_put", counting)
        try:
            work()
        except KilledError:
            return True
    return False


def test_another_machine_reads_what_one_wrote_and_has_it_in_its_catalog(machine):
    Store.of(machine("one")).replace("t", "shop", rows(1, 2))
    two = machine("two")
    assert Store.of(two).has("t", "shop")
    assert not list(two.data.rglob("*.parquet"))  # asking takes the pointer alone
    assert values(machine, "two") == [1, 2]
    assert catalog(two) == [("shop", 1), ("shop", 2)]
    Store.of(machine("one")).replace("t", "shop", rows(3))
    assert values(machine, "two") == [3]
    assert catalog(two) == [("shop", 3)]


def test_the_later_of_two_machines_wins_and_both_see_it(machine):
    Store.of(machine("one")).replace("t", "shop", rows(1))
    Store.of(machine("two")).replace("t", "shop", rows(2))
    assert values(machine, "one") == values(machine, "two") == [2]


def test_a_writer_killed_before_any_upload_leaves_the_old_rows_or_the_new(machine, monkeypatch):
    one = Store.of(machine("one"))
    one.replace("t", "shop", rows(0))
    for number, seen in ((1, 0), (2, 0)):  # the rows, the pointer
        assert killed_at(monkeypatch, number, partial(one.replace, "t", "shop", rows(number)))
        assert values(machine, "two") == [seen]
        assert values(machine, "one") == [seen]
    assert not killed_at(monkeypatch, 3, partial(one.replace, "t", "shop", rows(3)))
    assert values(machine, "two") == values(machine, "one") == [3]


def test_a_first_writer_killed_before_its_pointer_has_written_nothing(machine, monkeypatch):
    one = Store.of(machine("one"))
    assert killed_at(monkeypatch, 2, partial(one.replace, "t", "shop", rows(1)))
    assert not one.has("t", "shop")
    with pytest.raises(MissingInputError, match=r"no rows of dataset 'shop' in s3://b\w+/some/prefix/data"):
        Store.of(machine("two")).read("t", "shop")


def test_a_publisher_killed_before_any_upload_leaves_the_old_version_or_the_new(machine, monkeypatch):
    one = machine("one")
    publish(one, "old")
    for number in (1, 2, 3):  # two files, the pointer
        assert killed_at(monkeypatch, number, partial(publish, one, f"new {number}"))
        assert weights(machine("two")) == "old"
        assert weights(machine("one")) == "old"
    assert not killed_at(monkeypatch, 4, partial(publish, one, "new"))
    assert weights(machine("two")) == weights(one) == "new"


def test_a_version_of_which_a_kill_left_a_part_comes_whole_once_it_is_published(machine, monkeypatch):
    one = machine("one")
    assert killed_at(monkeypatch, 2, partial(publish, one, "new"))
    publish(one, "new")
    two = machine("two")
    assert weights(two) == "new"
    assert (Artifacts.of(two).current("adapter", "shop") / "config").read_text() == "c"


def test_a_reader_whose_version_is_dropped_while_it_reads_takes_the_next(machine, monkeypatch):
    one, two = Store.of(machine("one")), machine("two")
    first = one.replace("t", "shop", rows(1))
    fetch = two.remote.fetch

    def late(path):
        if path.stem == first.version:
            one.replace("t", "shop", rows(2))
            machine("one").remote.delete(path.parents[3].parent / "one" / "data" / "t" / "shop" / path.name)
        return fetch(path)

    monkeypatch.setattr(two.remote, "fetch", late)
    assert Store.of(two).read("t", "shop")["a"].tolist() == [2]


def parquets(paths):
    return {entry.path.stem for entry in paths.remote.listing(paths.data) if entry.path.suffix == ".parquet"}


def test_old_versions_leave_the_store_but_for_young_current_and_pinned_ones(machine, monkeypatch):
    one = machine("one")
    store = Store.of(one)
    versions = [store.replace("t", "shop", rows(number)).version for number in range(5)]
    assert parquets(one) == set(versions)  # another machine may be about to point to one
    store.pin("t", "shop", {versions[0]})
    monkeypatch.setattr(store_module, "YOUNG_SECONDS", -60)
    time.sleep(1)  # times of objects are in whole seconds
    Store.of(machine("two")).replace("t", "shop", rows(5))
    assert {versions[0]} < parquets(one)
    assert len(parquets(one)) == store_module.KEPT_VERSIONS + 1
    assert values(machine, "one") == [5]
    assert Store.of(machine("two")).version("t", "shop", versions[0]).is_file()
    assert Store.of(machine("two")).version("t", "shop", versions[1]) is None


def test_old_artifacts_leave_the_store_whole(machine, monkeypatch):
    one = machine("one")
    monkeypatch.setattr(artifacts_module, "YOUNG_SECONDS", -60)
    for text in "abc":
        publish(one, text)
        time.sleep(1)
    entries = one.remote.listing(one.artifacts)
    assert len({entry.path.parent.name for entry in entries if entry.path.name == "weights"}) == 2
    assert sum(entry.path.name == "config" for entry in entries) == 2
    assert weights(machine("two")) == "c"


def test_removing_a_dataset_takes_it_from_all_machines(machine):
    one, two = machine("one"), machine("two")
    for name in ("shop", "shop2"):
        Store.of(one).replace("t", name, rows(1))
    Store.of(one).replace("u", "shop", rows(1))
    Store.of(two).read("t", "shop")
    assert Store.of(two).remove("shop") == ["t", "u"]
    assert not Store.of(one).has("t", "shop")
    assert {entry.path.parent.name for entry in one.remote.listing(one.data)} == {"shop2"}
    assert Store.of(machine("three")).tables("shop2") == ["t"]
    assert Store.of(machine("three")).datasets("t") == ["shop2"]


def test_a_picture_is_put_once_and_comes_to_who_wants_it(machine, monkeypatch):
    one, two = Artifacts.of(machine("one")), Artifacts.of(machine("two"))
    name = one.put_blob("images", b"picture", ".jpg")
    assert two.has_blob("images", name, ".jpg")
    assert not two.blob_path("images", name, ".jpg").exists()
    assert not killed_at(monkeypatch, 1, lambda: two.put_blob("images", b"picture", ".jpg"))
    assert two.blob("images", name, ".jpg").read_bytes() == b"picture"
    assert two.blob("images", "0" * 64, ".jpg") is None


def test_a_picture_that_a_kill_kept_from_the_store_is_put_again(machine, monkeypatch):
    one = machine("one")
    assert killed_at(monkeypatch, 1, lambda: Artifacts.of(one).put_blob("images", b"picture", ".jpg"))
    name = Artifacts.of(one).put_blob("images", b"picture", ".jpg")
    assert Artifacts.of(machine("two")).blob("images", name, ".jpg") is not None


def cache_of(paths):
    return KeyedCache(paths.keywords, paths.remote)


def parts_of(paths):
    return [entry.path for entry in paths.remote.listing(paths.keywords.with_suffix(""))]


def test_keywords_that_one_machine_wrote_are_known_to_another(machine, monkeypatch):
    monkeypatch.setattr(cache_exchange, "FOLD_ABOVE", 3)
    one, two, three = machine("one"), machine("two"), machine("three")
    first = cache_of(one)
    for number in range(5):
        first.put({str(number): f"röd {number}"})
    assert len(cache_of(two)) == 5  # and folds them
    assert not [*one.keywords.parent.rglob("*.parquet"), *two.keywords.parent.rglob("*.parquet")]  # they do not stay
    assert len(parts_of(two)) == 1
    first.put({"5": "x"})
    assert len(cache_of(three)) == len(cache_of(one)) == len(cache_of(two)) == 6
    assert len(parts_of(two)) == 2  # nobody put again what was folded
    shutil.rmtree(one.artifacts)
    assert cache_of(one).find(map(str, range(6))) == {**{str(n): f"röd {n}" for n in range(5)}, "5": "x"}


def test_keywords_that_a_kill_kept_from_the_store_go_when_the_cache_is_opened(machine, monkeypatch):
    one = machine("one")
    assert killed_at(monkeypatch, 1, lambda: cache_of(one).put({"a": "x"}))
    assert parts_of(one) == []
    assert cache_of(one).get("a") == "x"
    assert cache_of(machine("two")).get("a") == "x"


def test_parts_that_another_machine_folds_while_they_are_brought_are_found_where_they_went(machine, monkeypatch):
    one, two = machine("one"), machine("two")
    for number in range(3):
        cache_of(one).put({str(number): "x"})
    fetch, folded = ObjectStore.fetch, []

    def fetch_while_folding(store, path):
        if store is two.remote and not folded:
            folded.append(path)
            with monkeypatch.context() as patch:
                patch.setattr(cache_exchange, "FOLD_ABOVE", 1)
                assert len(cache_of(one)) == 3
            assert len(parts_of(one)) == 1
        return fetch(store, path)

    monkeypatch.setattr(ObjectStore, "fetch", fetch_while_folding)
    assert len(cache_of(two)) == 3
    assert folded


def test_a_part_that_cannot_be_read_costs_its_entries_alone(machine, caplog):
    one = machine("one")
    cache_of(one).put({"a": "x"})
    one.remote.write(one.keywords.with_suffix("") / "broken.parquet", b"no such thing")
    assert list(cache_of(machine("two"))) == ["a"]
    assert "broken.parquet cannot be read" in caplog.text


def test_what_goes_of_a_shared_cache_goes_from_the_store(machine):
    one = machine("one")
    cache_of(one).put({"old": "x" * 100})
    cache_of(one).put({"new": "x" * 100})
    assert cache_of(one).trim(unused_days=1, max_bytes=150).entries == 1
    assert len(parts_of(one)) == 1
    assert list(cache_of(machine("two"))) == ["new"]


RULES = RetentionConfig(versions=0, grace_hours=0)
KEEPING = RetentionConfig(versions=0, grace_hours=1)


def found(paths, rules=RULES):
    return {
        entry.path.relative_to(paths.root).as_posix(): entry for entry in removable_files(paths, rules, used_configs=())
    }


def test_what_may_go_is_judged_by_the_store(machine):
    one = machine("one")
    old = Store.of(one).replace("t", "shop", rows(1)).version
    new = Store.of(one).replace("t", "shop", rows(2)).version
    publish(one, "old")
    artifact = Artifacts.of(one).version("adapter", "shop")
    publish(one, "new")
    cache_of(one).put({"a": "x"})
    for name in ("configs/unused.json", "plots/shop/t.png", "plots/shop/gone.png", "keyword_cache/of_before.json"):
        one.remote.write(one.artifacts / name, b"x")
    time.sleep(1.1)  # times of objects are in whole seconds
    two = machine("two")
    going = found(two)
    assert set(going) == {
        f"data/t/shop/{old}.parquet",
        f"artifacts/adapter/shop/{artifact}",
        "artifacts/configs/unused.json",
        "artifacts/plots/shop/gone.png",
        "artifacts/keyword_cache/of_before.json",
    }
    assert all(entry.stored and entry.bytes > 0 for entry in going.values())
    assert found(two, KEEPING) == {}
    assert new in parquets(two)


def test_copies_of_what_the_store_lost_go_from_the_machine_alone(machine):
    one, two = machine("one"), machine("two")
    Store.of(one).replace("t", "shop", rows(1))
    publish(one, "old")
    old = Store.of(two).current("t", "shop").path
    folder = Artifacts.of(two).current("adapter", "shop")
    Store.of(one).remove("shop")
    one.remote.delete(one.artifacts / "adapter" / "shop")
    (two.artifacts / "work" / "a" / "b").mkdir(parents=True)
    (two.artifacts / "sources" / "shop").mkdir(parents=True)
    for path in (old, folder / "weights", folder / "config"):
        os.utime(path, (time.time() - 60,) * 2)
    going = found(two)
    assert {two.root / name for name in going} == {old, folder}
    assert not any(entry.stored for entry in going.values())
