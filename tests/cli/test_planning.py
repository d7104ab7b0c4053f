import json
import sys

import pandas as pd
import pytest

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.cli.planning import Size, plan_of, work_of
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.storage.tables import Store

CONFIG = Config.model_validate(
    {"evaluation": {"users": 30, "protocols": ["uniform", "popularity"]}, "recommendation": {"examples": 50}}
)


def store_of(paths, dataset: str, users: int, each: int, items: int) -> Store:
    store = Store(paths.data)
    names = [f"u{number}" for number in range(users) for _ in range(each)]
    store.replace(Tables.INTERACTIONS, dataset, pd.DataFrame({"user_id": names, "item_id": "i"}))
    store.replace(Tables.ITEM_TEXT, dataset, pd.DataFrame({"item_id": [f"i{number}" for number in range(items)]}))
    return store


def reported(store: Store, dataset: str, *rows: tuple[str, str, float]) -> None:
    table = pd.DataFrame(rows, columns=["asset", "outcome", "seconds"])
    store.replace(Tables.REFRESH_REPORT, dataset, table)


def test_the_slowest_that_an_asset_was_anywhere_tells_what_it_will_take(paths):
    store = store_of(paths, "small", users=10, each=2, items=5)
    reported(store, "small", ("item_keywords", "changed", 10.0), ("item_keywords", "unchanged", 1.0),
             ("rankings", "changed", 40.0), ("sequences", "fresh", 0.0), ("recommender", "failed", 9.0))  # fmt: skip
    reported(store_of(paths, "other", users=4, each=1, items=50), "other", ("item_keywords", "changed", 50.0))
    store_of(paths, "large", users=100, each=20, items=700)
    found = {one.asset: one for one in plan_of(paths, "large", CONFIG)}
    assert (found["item_keywords"].count, found["item_keywords"].seconds) == (700, 700 * 10 / 5)
    assert found["item_keywords"].measured_on == "small"
    assert (found["rankings"].count, found["rankings"].seconds) == (30 * 2, 60 * 40 / 20)  # of 30 users, of 10
    assert found["sequences"].count == 2000
    assert found["sequences"].seconds is None
    assert found["recommender"].seconds is None


def test_what_was_never_counted_is_unknown_and_what_the_settings_bound_is_not():
    work = work_of(Size(None, None, None), CONFIG)
    assert work["sequences"] == (None, "interactions")
    assert work["sft_dataset"] == (50, "examples")
    assert work["rankings"] == (60, "lists")
    assert work_of(Size(9, 9, 9), CONFIG)["recommendations"] == (9, "lists")


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_the_command_prints_the_plan_and_what_is_not_known(paths, monkeypatch, capsys, words):
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "small.yaml").write_text("format: sample\n")
    reported(store_of(paths, "small", users=10, each=2, items=5), "small", ("sequences", "changed", 4.0))
    monkeypatch.setattr(sys, "argv", ["mmsra", "plan", "-d", "small", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    out = capsys.readouterr().out
    if words:
        assert json.loads(out)["seconds"] == 4.0
        assert "item_keywords" in json.loads(out)["unknown"]
    else:
        assert "4 s in all" in out
        assert "200 ms" in out
