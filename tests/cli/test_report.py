"""`mmsra report` and `mmsra compare` on small tables."""

import json
import sys

import pandas as pd
import pytest

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.tables import Store


@pytest.fixture
def mmsra(paths, monkeypatch, capsys):
    paths.datasets.mkdir(parents=True)
    for name in ("shop", "variant"):
        (paths.datasets / f"{name}.yaml").write_text("format: sample\nsize: tiny\n")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mmsra", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def pages(paths):
    with Artifacts.of(paths).publish("report", "shop") as folder:
        for name in ("index", "cases", "shop"):
            (folder / f"{name}.html").touch()
    cases = {
        "case": [3, 3, 9],
        "user_id": ["u1", "u1", "u7"],
        "position": [4, 5, 2],
        "kind": ["test", "served", "served"],
    }
    Store(paths.data).replace(Tables.REPORT, "shop", pd.DataFrame(cases).assign(explained=False))
    return Artifacts.of(paths).current("report", "shop")


def test_the_page_is_named_and_so_is_that_of_a_user(mmsra, pages):
    assert mmsra("report", "-d", "shop") == (0, f"{(pages / 'index.html').as_uri()}\n", "")
    assert mmsra("report", "-d", "shop", "--user", "u1")[1] == f"{(pages / 'cases.html').as_uri()}#3\n"
    assert mmsra("report", "-d", "shop", "--user", "u7")[1] == f"{(pages / 'shop.html').as_uri()}#9\n"


def test_open_asks_the_browser_for_it(mmsra, pages, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda page: bool(asked.append(page)))
    code, out, err = mmsra("report", "-d", "shop", "--open")
    assert (code, asked) == (0, [out.strip()])
    assert "No browser was found" in err


def test_a_user_who_is_not_shown_is_an_error_with_a_remedy(mmsra, pages):
    code, _, err = mmsra("report", "-d", "shop", "--user", "u5")
    assert code == 1
    assert "user 'u5' is not among the 2 users of the report of 'shop', for example 'u1'" in err
    assert "raise `report.cases`" in err


def test_a_report_that_was_not_made_is_an_error_that_says_how(mmsra):
    code, _, err = mmsra("report", "-d", "shop")
    assert code == 1
    assert "mmsra refresh --dataset shop" in err


def measured(hits):
    users = [f"u{number}" for number in range(len(hits))]
    rows = pd.DataFrame({"protocol": "uniform", "row": "mmsrarec", "user_id": users, "position": 3})
    return rows.assign(**{"hr@5": hits, "ndcg@5": hits, "auc_user": 0.5})


def test_two_data_sets_are_compared_by_user(mmsra, paths):
    store = Store(paths.data)
    store.replace(Tables.USER_METRICS, "shop", measured([0.0] * 10 + [1.0] * 10))
    store.replace(Tables.USER_METRICS, "variant", measured([1.0] * 20 + [0.0] * 5))  # five more users
    code, out, err = mmsra("compare", "shop", "variant", "--json")
    assert code == 0, err
    [hits, _] = json.loads(out)["rows"]
    assert (hits["users"], hits["first"], hits["second"], hits["difference"]) == (20, 50.0, 100.0, 50.0)
    assert 0 < hits["low"] < 50 < hits["high"]
    assert "+50.0" in mmsra("compare", "shop", "variant", "--metric", "hr@5")[1]


def test_what_cannot_be_compared_is_said(mmsra, paths):
    store = Store(paths.data)
    store.replace(Tables.USER_METRICS, "shop", measured([1.0]))
    store.replace(Tables.USER_METRICS, "variant", measured([1.0]).assign(user_id="other"))
    assert "no test query in common" in mmsra("compare", "shop", "variant")[2]
    assert "Choose of: hr@5, ndcg@5, auc_user" in mmsra("compare", "shop", "variant", "--metric", "hr@7")[2]
