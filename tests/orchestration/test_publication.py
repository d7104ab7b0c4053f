"""What becomes current, and when: in the store, its catalog, the command line and an object store alike."""

import re

import dagster as dg
import duckdb
import pandas as pd
import pytest

from mmsra_pipeline.cli.reading import ask_sql, stored
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.orchestration.checks.results import check, specs
from mmsra_pipeline.orchestration.reporting import report
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.mirror import Remote
from mmsra_pipeline.storage.object_store import ObjectStore
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.tables import Store


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.fixture(params=["folder", "object store"])
def here(request, tmp_path):
    """The paths of an installation."""
    return Paths(tmp_path) if request.param == "folder" else request.getfixturevalue("machine")("one")


def rows(value):
    return pd.DataFrame({"row": ["random"], "value": [value]})


def stage_of(paths, asset=Tables.METRICS):
    return Stage(asset, "shop", "run", "1", Config(), paths, blocking=frozenset({"sound"}))


def make(paths, value, *, passed=True, warn=False, artifact=False):
    """Let an asset write two tables and perhaps an artifact, and check them."""
    stage = stage_of(paths)
    if artifact:
        with stage.publish() as folder:
            (folder / "weights").write_text(str(value))
    stage.write(Tables.METRICS, rows(value))
    stage.write(Tables.DIFFERENCES, rows(value))
    return list(report(stage, checks=[check("sound", passed, "what was found", warn=warn)]))


def weights(paths):
    return float((Artifacts.of(paths).current(Tables.METRICS, "shop") / "weights").read_text())


def seen(paths):
    """What readers see of both tables, by the store and by the catalog; there is one answer."""
    paths.datasets.mkdir(exist_ok=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\n")  # the command line asks for it
    answers = {float(Store.of(paths).read(table, "shop")["value"].iloc[0]) for table in ("metrics", "differences")}
    with duckdb.connect(str(paths.data / "catalog.duckdb"), read_only=True) as catalog:
        for table in ("metrics", "differences"):
            answers |= {value for (value,) in catalog.execute(f"select value from {table}").fetchall()}
    [answer] = answers | set(stored(paths, "metrics", "shop")["value"])
    return answer


def test_what_a_blocking_check_refuses_is_seen_nowhere(here):
    make(here, 1.0, artifact=True)
    with pytest.raises(DataError, match="sound: what was found") as refused:
        make(here, 2.0, passed=False, artifact=True)
    assert seen(here) == weights(here) == 1.0
    [query] = re.findall(r'table metrics: mmsra sql "(.*?)"', str(refused.value))
    assert ask_sql(here, query) == (["row", "value"], [["random", "2.0"]])
    assert f"artifact: {here.artifacts / 'metrics' / 'shop'}" in str(refused.value)


def test_another_machine_sees_nothing_of_it_either(machine):
    make(machine("one"), 1.0, artifact=True)
    with pytest.raises(DataError):
        make(machine("one"), 2.0, passed=False, artifact=True)
    two = machine("two")
    assert seen(two) == weights(two) == 1.0
    make(machine("one"), 3.0, artifact=True)
    assert seen(two) == weights(two) == 3.0


def test_a_check_that_only_warns_holds_nothing_up(here):
    make(here, 1.0)
    [result] = make(here, 2.0, passed=False, warn=True)
    assert [one.passed for one in result.check_results] == [False, True, True]
    assert seen(here) == 2.0


def test_a_later_asset_started_by_hand_reads_the_old_rows(here):
    read = []

    @dg.asset(check_specs=specs("metrics", blocking=["sound"]))
    def metrics(context):
        value = float(context.run.tags["value"])
        stage = stage_of(here)
        stage.write(Tables.METRICS, rows(value))
        yield from report(stage, checks=[check("sound", value < 2, "what was found")])

    @dg.asset(deps=[metrics])
    def later():
        read.append(float(stage_of(here, "rankings").read(Tables.METRICS)["value"].iloc[0]))

    with dg.DagsterInstance.ephemeral() as instance:
        run = {"assets": [metrics, later], "instance": instance, "raise_on_error": False}
        assert dg.materialize(tags={"value": "1"}, **run).success
        assert not dg.materialize(tags={"value": "2"}, **run).success
        assert dg.materialize(selection=[later], **run).success
    assert read == [1.0, 1.0]


def test_where_the_first_rows_ever_are_refused_later_assets_say_so(here):
    with pytest.raises(DataError, match="did not pass its checks"):
        make(here, 1.0, passed=False)
    assert not Store.of(here).has(Tables.METRICS, "shop")
    with pytest.raises(MissingInputError, match=r"Rows were made, but not published: see the failed checks.*\.parquet"):
        stage_of(here, "rankings").read(Tables.METRICS)
    make(here, 2.0)
    assert seen(here) == 2.0


def test_an_asset_reads_its_own_new_rows_before_they_are_current(here):
    make(here, 1.0, artifact=True)
    stage = stage_of(here)
    with stage.publish() as folder:
        (folder / "weights").write_text("2.0")
    stage.write(Tables.METRICS, rows(2.0))
    assert stage.read(Tables.METRICS)["value"].tolist() == [2.0]
    assert (stage.artifact(Tables.METRICS) / "weights").read_text() == "2.0"
    assert stage_of(here).read(Tables.METRICS)["value"].tolist() == [1.0]
    assert weights(here) == 1.0


def test_a_kill_before_the_first_pointer_leaves_the_old_rows(here, monkeypatch):
    make(here, 1.0, artifact=True)
    monkeypatch.setattr(Stage, "make_current", lambda _self: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        make(here, 2.0, artifact=True)
    assert seen(here) == weights(here) == 1.0


@pytest.mark.parametrize("moved", [1, 2])
def test_a_kill_between_two_pointers_is_repaired_by_making_it_again(here, monkeypatch, moved):
    make(here, 1.0, artifact=True)
    write, pointers = (ObjectStore if here.remote.is_store else Remote).write, []

    def counting(self, path, content):
        if path.name == "current":
            pointers.append(path)
            if len(pointers) > moved:
                raise KilledError
        write(self, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(type(here.remote), "write", counting)
        with pytest.raises(KilledError):
            make(here, 2.0, artifact=True)
    assert [path.parent.parent.name for path in pointers] == ["metrics", "differences", "metrics"][: moved + 1]
    assert Store.of(here).read(Tables.METRICS, "shop")["value"].tolist() == [1.0]  # its own table comes last
    make(here, 2.0, artifact=True)
    assert seen(here) == weights(here) == 2.0


def test_refused_rows_go_as_old_versions_go(here):
    make(here, 0.0)
    for value in range(1, 9):
        with pytest.raises(DataError):
            make(here, float(value), passed=False)
    if not here.remote.is_store:  # there they are too young
        assert len(list((here.data / "metrics" / "shop").glob("*.parquet"))) == 4  # the last three and the current
    assert seen(here) == 0.0
