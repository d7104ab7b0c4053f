import json
import sys

import pandas as pd
import pytest

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.settings_read import READS
from mmsra_pipeline.storage.tables import Store

QUERIES = pd.DataFrame({"split": ["train", "test"], "user_id": "u", "position": [1, 2], "history_start": 0})


@pytest.fixture
def mmsra(paths, monkeypatch, capsys):
    """Run `mmsra check` of a described data set in this process: exit code, stdout, stderr."""
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\n")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmsra", "check", "--dataset", "shop", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def drawn(paths, rows):
    store = Store(paths.data)
    store.replace(Tables.SEQUENCES, "shop", QUERIES)
    store.replace(Tables.TRAINING_QUERIES, "shop", QUERIES.iloc[rows][["split", "user_id", "position"]])


def test_what_is_current_is_checked_and_a_failure_is_exit_code_3(paths, mmsra):
    drawn(paths, [0])
    code, out, _ = mmsra("--asset", "training_queries", "--json")
    assert (code, [one["state"] for one in json.loads(out)["checks"]]) == (0, ["passes", "passes"])
    drawn(paths, [0, 1])
    code, out, _ = mmsra("--asset", "training_queries")
    assert code == 3
    assert "no_test_query" in out
    assert "fails" in out


def test_all_assets_are_checked_and_one_that_was_never_published_is_no_failure(paths, mmsra):
    code, out, _ = mmsra("--json")
    assert (code, {one["state"] for one in json.loads(out)["checks"]}) == (0, {"absent"})
    assert {one["asset"] for one in json.loads(out)["checks"]} == set(READS)


def test_checks_that_cannot_be_made_fail_and_say_what_is_missing(paths, mmsra):
    drawn(paths, [0])
    Store(paths.data).remove("shop")
    Store(paths.data).replace(Tables.TRAINING_QUERIES, "shop", QUERIES)
    code, out, _ = mmsra("--json", "--asset", "training_queries")
    assert code == 3
    assert "table 'sequences' has no rows" in json.loads(out)["checks"][0]["found"]


def test_an_asset_that_does_not_exist_is_reported_with_those_that_do(mmsra):
    code, _, err = mmsra("--asset", "nothing")
    assert code == 1
    assert "there is no asset 'nothing'. Choose one of: raw_reviews, " in err
