"""`mmsra summary` on small tables, as a finished refresh leaves them."""

import json
import sys

import pandas as pd
import pytest

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.tables import Store

METRICS = [
    ("sasrec", "uniform", 9, "hr@5", 50.0, 40.0, 60.0),
    ("cf+content", "uniform", 9, "hr@5", 55.0, 45.0, 65.0),
    ("mmsrarec", "uniform", 9, "hr@5", 70.0, 60.0, 80.0),
    ("mmsrarec+cf", "uniform", 9, "hr@5", 60.0, 50.0, 70.0),
    ("ceiling", "uniform", 9, "hr@5", 95.0, 90.0, 99.0),
]
DIFFERENCES = [
    ("uniform", "mmsrarec+cf", "sasrec", 9, "hr@5", 10.0, 4.0, 16.0),
    ("uniform", "mmsrarec+cf", "cf+content", 9, "hr@5", 5.0, -2.0, 11.0),
]
REPORT = [  # the newest first
    ("(all)", "fresh", 0.0, None),
    ("rankings", "unchanged", 90.0, 3.5),
    ("metrics", "changed", 30.0, 1.0),
    ("rankings", "changed", 600.0, 9.0),
    ("recommender", "failed", 600.0, None),
]


@pytest.fixture
def shop(paths):
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    store = Store(paths.data)
    measured = ["users", "metric", "value", "low", "high"]
    store.replace(Tables.METRICS, "shop", pd.DataFrame(METRICS, columns=["row", "protocol", *measured]))
    store.replace(
        Tables.DIFFERENCES, "shop", pd.DataFrame(DIFFERENCES, columns=["protocol", "row", "against", *measured])
    )
    lists = pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in range(5)],
            "rank": 1,
            "item_id": "i1",
            "title": ["Mug", None, "Mug", "Mug", "Mug"],
            "p": 0.75,
            "shared_keywords": [["red", "striped"]] * 5,
        }
    )
    store.replace(Tables.RECOMMENDATIONS, "shop", lists)
    names = ["asset", "outcome", "seconds", "peak_memory_gb"]
    store.replace(Tables.REFRESH_REPORT, "shop", pd.DataFrame(REPORT, columns=names))
    return store


@pytest.fixture
def summary(shop, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mmsra", "summary", "--dataset", "shop", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_the_summary_has_metrics_a_verdict_lists_cost_and_what_to_open(summary):
    code, out, _ = summary()
    assert code == 0
    assert "uniform negatives, 9 users, percent" in out
    verdict = (
        "mmsrarec+cf, what is served, against the best other row that ranks without the language model, in HR@5: "
        "+5.0 points [-2.0, +11.0] from cf+content under uniform negatives (it may be chance)."
    )
    assert verdict in out
    assert [f"Recommendations for u{number}" in out for number in range(4)] == [True, True, True, False]
    assert "Mug" in out
    assert "i1" in out  # where an item has no title
    assert "Computing its 2 assets took 2.0 minutes; the most memory was 3.5 GB, in rankings." in out
    assert "make ui" in out.partition("Next:")[2]
    assert "The report" not in out  # it was not made


def test_the_summary_as_json_has_the_promised_form(summary):
    code, out, _ = summary("--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == ["dataset", "rows", "best_without_model", "users", "cost", "report", "next"]
    assert found["rows"][0] == {
        "row": "sasrec", "sees_later": "yes", "protocol": "uniform", "users": 9,
        "hr@5": {"value": 50.0, "low": 40.0, "high": 60.0},
    }  # fmt: skip
    assert found["best_without_model"] == [
        {"protocol": "uniform", "metric": "hr@5", "row": "mmsrarec+cf", "against": "cf+content",
         "value": 5.0, "low": -2.0, "high": 11.0}
    ]  # fmt: skip
    assert [user["user"] for user in found["users"]] == ["u0", "u1", "u2"]
    assert found["users"][0]["items"][0]["title"] == "Mug"
    assert found["cost"] == {"assets": 2, "minutes": 2.0, "peak_memory_gb": 3.5, "peak_asset": "rankings"}


def test_the_summary_names_the_report_where_it_was_made(summary, shop, paths):
    shop.replace(Tables.REPORT, "shop", pd.DataFrame({"case": [1], "user_id": ["u0"], "kind": ["test"]}))
    with Artifacts.of(paths).publish("report", "shop") as folder:
        (folder / "index.html").touch()
    page = (Artifacts.of(paths).current("report", "shop") / "index.html").as_uri()
    assert f"The report, to open in a browser: {page}" in summary()[1]
    assert json.loads(summary("--json")[1])["report"] == page


def test_what_is_not_known_is_said(summary, shop):
    shop.replace(Tables.REFRESH_REPORT, "shop", pd.DataFrame({"asset": ["x"], "outcome": ["changed"]}))
    shop.replace(Tables.DIFFERENCES, "shop", shop.read(Tables.DIFFERENCES, "shop").head(1))
    code, out, _ = summary()
    assert code == 0
    assert "mmsrarec+cf, what is served, was not compared with rows that rank without the language model." in out
    assert "What computing it took is not known" in out
    assert json.loads(summary("--json")[1])["cost"]["minutes"] is None
