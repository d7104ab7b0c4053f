"""The whole graph on the tiny sample store with a tiny random backbone, by the command line, in processes of their own.

The tests go on from each other, in the order of the file: a first refresh takes most of a minute.
"""

import json
import re
import signal
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from chat_server import serving
from defs.shell import ALL, Shell, names
from tiny import tiny_fastvlm

from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.config.tree import BackboneConfig
from mmsra_pipeline.orchestration.dictionary import TABLES
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.tables import Store

TABLE = "user_id,item_id,timestamp\n"
pytestmark = [pytest.mark.slow, pytest.mark.weights]  # the sentence encoder's weights


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("root"))
    shell.settings()
    tiny_fastvlm(shell.root / "tiny")
    code, _, err = shell.run("dataset", "add", "shop", "--format", "sample", "--option", "size=tiny")
    assert code == 0, err
    return shell


def runs(shell: Shell, **tags: str) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(shell.root / "dagster_home")) as instance:
        return list(instance.get_runs(dg.RunsFilter(tags={"mmsra/refresh": "true", **tags})))


def test_one_command_takes_an_empty_root_to_metrics_in_one_run(shell):
    done = shell.refresh("--dataset", "shop")
    assert set(names(done["stale"])) == ALL
    assert set(names(done["materialized"])) == ALL
    [run] = runs(shell)
    assert run.status == dg.DagsterRunStatus.SUCCESS


def test_metrics_and_recommendations_are_there_for_every_row_and_user(shell):
    code, out, err = shell.run("metrics", "--dataset", "shop", "--json")
    assert code == 0, err
    rows = json.loads(out)["rows"]
    first_stage = {row["row"]: row for row in json.loads(out)["first_stage"]}
    assert set(first_stage) == {"popularity", "encoder", "cooccurrence", "fused", "first_stage"}
    assert {"recall@20", "recall@100", "recall@200"} < set(first_stage["first_stage"])
    expected = {
        (row, protocol)
        for row in (
            "random", "popularity", "popularity_as_of", "cooccurrence", "cooccurrence_as_of", "sasrec", "first_stage",
            "content", "evidence", "cf+content", "mmsrarec", "mmsrarec+cf", "ceiling",
        )
        for protocol in ("uniform", "popularity")
    }  # fmt: skip
    assert {(row["row"], row["protocol"]) for row in rows} == expected
    compared = {(row["row"], row["against"]) for row in json.loads(out)["differences"]}
    assert {("mmsrarec", "evidence"), ("mmsrarec+cf", "cf+content"), ("cf+content", "first_stage")} < compared
    assert {row["row"] for row in json.loads(out)["by_count"]} >= {"mmsrarec", "mmsrarec+cf"}
    for row in rows:
        assert {"hr@5", "ndcg@5", "mrr@5", "auc_pooled", "auc_user"} < set(row)
    lists = Store(shell.root / "data").read("recommendations", "shop")
    assert lists.groupby("user_id").size().tolist() == [2, 2, 2]


def test_without_a_user_the_lists_of_the_first_ones_are_printed(shell):
    code, out, err = shell.run("recommend", "--dataset", "shop", "--first", "2")
    assert code == 0, err
    users = sorted(Store(shell.root / "data").read("recommendations", "shop")["user_id"].unique())
    assert re.findall("Recommendations for (.*?) *\n", out) == users[:2]


def test_every_table_is_in_the_catalog(shell):
    with duckdb.connect(str(shell.root / "data" / "catalog.duckdb"), read_only=True) as catalog:
        views = {
            name for (name,) in catalog.execute("select view_name from duckdb_views() where not internal").fetchall()
        }
    assert views == ALL | {
        "raw_items", "rejects", "funnel", "training_bounds", "candidates", "refresh_report",
        "image_status", "item_text_sources", "validation_candidates", "differences", "metrics_by_count",
        "keyword_panel", "tuning_measures", "user_metrics", "pairwise", "metrics_by_slice", "served_candidates",
        "served_traits", "served_overlap", "explanations", "injection_probe",
    }  # fmt: skip


def test_every_table_has_the_columns_that_the_dictionary_describes(shell):
    store = Store(shell.root / "data")
    found = {name: set(store.read_arrow(name, "shop").column_names) for name in TABLES if store.has(name, "shop")}
    assert found == {name: set(table.columns) for name, table in TABLES.items()}


def test_the_ui_is_given_samples_plots_settings_and_checks(shell):
    with dg.DagsterInstance.from_config(str(shell.root / "dagster_home")) as instance:
        for asset in ALL:
            wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=["shop"])
            event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
            expected = {"dagster/row_count", "seconds", "sample", "slice", "settings", "config"}
            assert expected <= set(event.metadata), asset
            if asset == "similar_users":
                assert event.metadata["leak_rate"].value == 0.0
                assert 0 <= event.metadata["hit_share"].value <= 1
            if asset in {"alignment", "summarizer", "user_encoder", "recommender", "fusion"}:
                assert {"plot", "plot_file", "mlflow_run", "artifact"} <= set(event.metadata), asset
                picture = Path(event.metadata["plot_file"].value)
                assert picture.read_bytes().startswith(b"\x89PNG")
        [run] = instance.get_runs()
        assert run.tags["mmsra/mlflow_run"]
        messages = [entry.user_message for entry in instance.all_logs(run.run_id) if entry.dagster_event is None]
    assert any("recommender is done" in message for message in messages)


def test_a_second_refresh_materializes_nothing(shell):
    done = shell.refresh("--dataset", "shop")
    assert done.pop("dataset") == "shop"
    assert not any(done.values())


FUSED = {"fusion", "rankings", "metrics", "recommendations", "served_quality", "report"}
"""The fusion and what depends on it."""


def test_a_setting_of_similar_users_marks_exactly_it_and_what_depends_on_it(shell):
    shell.settings(retrieval__similar_users={"voters": 8, "k": 2})
    stale = shell.refresh("--dataset", "shop", "--dry-run")["stale"]
    assert set(names(stale)) == {"similar_users", "sft_dataset", "recommender"} | FUSED
    assert stale[0]["reasons"] == ["settings changed: retrieval.similar_users.k 3 -> 2"]
    shell.settings()
    assert shell.refresh("--dataset", "shop", "--dry-run")["stale"] == []


def test_a_setting_of_the_fusion_marks_exactly_it_and_what_depends_on_it(shell):
    shell.settings(fusion={"folds": 2, "regularization": 2.0})
    stale = {entry["asset"]: entry["reasons"] for entry in shell.refresh("--dataset", "shop", "--dry-run")["stale"]}
    assert set(stale) == FUSED
    assert stale["fusion"] == ["settings changed: fusion.regularization 1.0 -> 2.0"]
    assert stale["rankings"] == ["may change with fusion"]


def test_other_evidence_in_prompts_leaves_encoder_and_similar_users_as_they_are(shell):
    shell.settings(recommendation__prompt={"history_length": 2, "candidate_image": True, "evidence": ["taste"]})
    stale = shell.refresh("--dataset", "shop", "--dry-run")["stale"]
    assert set(names(stale)) == {"sft_dataset", "recommender"} | FUSED
    shell.settings()
    assert shell.refresh("--dataset", "shop", "--dry-run")["stale"] == []


def test_a_setting_that_changes_no_output_stops_where_it_is_read(shell):
    shell.settings(interactions__max_users=1000)
    done = shell.refresh("--dataset", "shop")
    assert "metrics" in names(done["stale"])
    assert names(done["materialized"]) == ["interactions"]


def test_a_server_writes_the_keywords_that_this_process_would_write(shell):
    code, out, err = shell.run("backbone", "export", str(shell.root / "exported"), "--dataset", "shop")
    assert code == 0, err
    exported = json.loads(out)
    assert exported["serve"] == f"vllm serve {shell.root / 'exported'} --served-model-name {exported['served_name']}"
    config = BackboneConfig(model=exported["folder"], image_side=32, device="cpu")
    items = len(Store(shell.root / "data").read("item_text", "shop"))
    with serving(load_backbone(config, Artifacts(shell.root / "unused")), name=exported["served_name"]) as server:
        shell.settings(interactions__max_users=1000, summarization__server={"url": server.url})
        done = shell.refresh("--dataset", "shop")
        assert names(done["materialized"]) == ["item_keywords"]
        assert sum(path.endswith("completions") for path, *_ in server.asked) == items
    shell.settings(interactions__max_users=1000)
    assert names(shell.refresh("--dataset", "shop")["materialized"]) == ["item_keywords"]


def test_a_csv_without_a_needed_column_says_which_file_and_column_and_the_shop_is_left_alone(shell):
    shell.add_tables("torn", "user_id,thing,timestamp\nu1,i1,1\n")
    code, out, err = shell.run("refresh", "--json")
    assert code == 1
    assert "dataset torn: raw_reviews:" in err
    assert "interactions.csv" in err
    assert "item_id" in err
    assert "Traceback" not in err
    assert {entry["partition"] for entry in json.loads(out)["stale"]} == {"torn"}
    assert shell.run("dataset", "remove", "torn")[0] == 0


def test_a_typo_in_a_dataset_file_says_which_file_and_what_was_meant(shell):
    shell.add_tables("typo", TABLE)
    file = shell.root / "datasets" / "typo.yaml"
    file.write_text(file.read_text() + "colums: {user_id: customer}\n")
    code, _, err = shell.run("refresh", "--dataset", "typo")
    assert code == 1
    assert "typo.yaml: 1 invalid setting(s)" in err
    assert "colums: no such setting. Did you mean 'columns'?" in err
    assert shell.run("dataset", "remove", "typo")[0] == 0


def test_a_refresh_that_was_killed_goes_on_where_it_was(shell):
    code, _, err = shell.run(
        "dataset", "add", "second", "--format", "sample", "--option", "size=tiny", "--option", "seed=1"
    )
    assert code == 0, err
    process = shell.start("refresh", "--dataset", "second")
    for line in process.stderr:
        if re.search(r"second: (sft_dataset|recommender) begins", line):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    [killed] = [run for run in runs(shell, **{"dagster/partition": "second"}) if not run.is_finished]

    done = shell.refresh("--dataset", "second")

    materialized = set(names(done["materialized"]))
    assert "metrics" in materialized
    assert not materialized & {"raw_reviews", "user_encoder", "item_keywords"}
    after = {run.run_id: run.status for run in runs(shell)}
    assert after[killed.run_id] == dg.DagsterRunStatus.FAILURE
    assert shell.refresh("--dataset", "second")["stale"] == []


def test_a_dataset_that_was_removed_and_added_again_is_made_again(shell):
    code, out, err = shell.run("dataset", "remove", "second")
    assert code == 0, err
    assert "metrics" in out
    shell.add_second()
    stale = shell.refresh("--dataset", "second", "--dry-run")["stale"]
    assert set(names(stale)) == ALL
    assert stale[0]["reasons"] == ["was never materialized"]


def test_without_sft_the_aligned_model_scores(shell):
    before = Store(shell.root / "data").read("rankings", "shop")
    shell.settings(recommendation__epochs=0)
    assert "rankings" in names(shell.refresh("--dataset", "shop")["materialized"])
    assert Store(shell.root / "data").read("recommender", "shop").empty
    after = Store(shell.root / "data").read("rankings", "shop")
    assert after["p"].notna().sum() == before["p"].notna().sum() > 0
    assert not after["p"].equals(before["p"])
