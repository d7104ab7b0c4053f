"""The whole graph with its root in an S3-compatible store, by the command line, from two machines in turn.

The machines are two mirrors; they share Dagster's instance, as two machines do by its Postgres storage. The server is
in the process of the tests. The tests go on from each other, in the order of the file.
"""

import json
import shutil
import urllib.request

import dagster as dg
import duckdb
import pytest
from defs.shell import ALL, Shell, names
from s3_server import KEYS, make_bucket
from tiny import tiny_fastvlm

from mmsra_pipeline.orchestration.job_names import MODELS
from mmsra_pipeline.orchestration.materializations import latest
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.weights]  # the sentence encoder's weights

BUCKET = "pipeline"


class Machine(Shell):
    """A shell whose root is in the store, with a mirror of its own."""

    def __init__(self, root, name, url):
        super().__init__(root)
        self.mirror = root / name
        self.environment |= KEYS | {
            "AWS_ENDPOINT_URL": url,
            "MMSRA_ROOT": f"s3://{BUCKET}/some/prefix",
            "MMSRA_SCRATCH": str(self.mirror),
            "DAGSTER_HOME": str(root / "dagster_home"),
        }

    def say(self, *words):
        code, out, err = self.run(*words)
        assert code == 0, err
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in out + err
        return out


@pytest.fixture(scope="module")
def one(tmp_path_factory, s3_url):
    root = tmp_path_factory.mktemp("machines")
    make_bucket(s3_url, BUCKET)
    machine = Machine(root, "one", s3_url)
    machine.settings()
    tiny_fastvlm(root / "tiny")
    return machine


@pytest.fixture(scope="module")
def two(one, s3_url):
    return Machine(one.root, "two", s3_url)


def keys(url):
    """The names of the objects, without what stands for folders."""
    from xml.etree import ElementTree

    found, page = [], f"{url}/{BUCKET}?list-type=2"
    while True:
        with urllib.request.urlopen(page) as answer:
            tree = ElementTree.fromstring(answer.read())
        names = [entry.text for entry in tree.findall(".//{*}Key")]
        if not names:
            return [name.removeprefix("some/prefix/") for name in found if not name.endswith("/")]
        found += names
        page = f"{url}/{BUCKET}?list-type=2&start-after={urllib.request.quote(names[-1])}"


def test_one_command_takes_an_empty_bucket_to_metrics(one, s3_url):
    one.say("dataset", "add", "shop", "--format", "sample", "--option", "size=tiny")
    done = one.refresh("--dataset", "shop")
    assert set(names(done["materialized"])) == ALL
    there = keys(s3_url)
    assert {name.split("/")[1] for name in there if name.startswith("data/") and name.endswith("/shop/current")} >= ALL
    assert "datasets/shop.yaml" in there
    for start in ("artifacts/recommender/shop/", "artifacts/images/blobs/", "artifacts/caches/keywords/"):
        assert any(name.startswith(start) for name in there), start
    assert not [name for name in there if "/work/" in name or ".tmp" in name or "sqlite" in name]


def test_a_machine_with_an_empty_mirror_finds_nothing_stale(two):
    assert not two.mirror.exists()
    done = two.refresh("--dataset", "shop")
    assert done.pop("dataset") == "shop"
    assert not any(done.values())
    assert "Nothing is stale" in two.say("refresh")


def test_it_reads_metrics_recommendations_and_tables(one, two):
    for words in (("metrics", "--json"), ("recommend", "--first", "2"), ("show", "item_keywords", "-n", "3")):
        output = two.say(*words, "--dataset", "shop")
        assert output == one.say(*words, "--dataset", "shop")
    assert json.loads(two.say("metrics", "--json", "--dataset", "shop"))["rows"]
    assert "shop" in two.say("dataset", "list")
    with duckdb.connect(str(two.mirror / "data" / "catalog.duckdb"), read_only=True) as catalog:
        assert catalog.execute("select count(*) from metrics").fetchone()[0] > 0


def test_it_goes_on_with_the_models_and_keywords_of_the_other(one, two):
    two.settings(summarization__draft_items=3, recommendation__list_negatives=3)
    materialized = names(two.refresh("--dataset", "shop")["materialized"])
    assert {"item_keywords", "recommender", "metrics"} <= set(materialized)
    assert not {"alignment", "summarizer", "user_encoder"} & set(materialized)
    with dg.DagsterInstance.from_config(two.environment["DAGSTER_HOME"]) as instance:
        assert latest(instance, "item_keywords", "shop").metadata["computed"] == 0
    assert two.say("metrics", "--json", "--dataset", "shop") == one.say("metrics", "--json", "--dataset", "shop")
    assert one.refresh("--dataset", "shop", "--dry-run")["stale"] == []


def test_what_is_old_goes_and_all_can_still_be_read_from_a_new_mirror(one, two, s3_url):
    before = keys(s3_url)
    two.settings(
        summarization__draft_items=3,
        recommendation__list_negatives=3,
        retention={"versions": 0, "grace_hours": 0},
    )
    two.say("gc")
    gone = set(before) - set(keys(s3_url))
    assert any(name.startswith("data/rankings/shop/") for name in gone)
    assert any(name.startswith("artifacts/recommender/shop/") for name in gone)
    three = Machine(one.root, "three", s3_url)
    assert three.refresh("--dataset", "shop")["stale"] == []
    with pytest.MonkeyPatch.context() as patched:
        for name, value in three.environment.items():
            patched.setenv(name, value)
        shutil.rmtree(three.mirror)
        paths = find_paths()
        for table in sorted(ALL):
            Store.of(paths).read(table, "shop")
        for kind in (*MODELS, "cooccurrence_neighbors"):
            assert any(Artifacts.of(paths).current(kind, "shop").iterdir())


def test_a_dataset_that_one_removed_is_gone_for_the_other(one, two, s3_url):
    output = two.say("dataset", "remove", "shop")
    assert "s3://pipeline/some/prefix/artifacts/recommender/shop" in output
    assert not [name for name in keys(s3_url) if "shop" in name]
    code, _, err = one.run("metrics", "--dataset", "shop")
    assert code == 1
    assert "dataset 'shop' is not described" in err
