"""`mmsra ablate` with small tables in place of computing."""

import json
import sys

import pandas as pd
import pytest

from mmsra_pipeline.cli import ablation
from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.cli.variants import vary
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.datasets import config_of, list_datasets, load_dataset
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.outcome import Outcome
from mmsra_pipeline.storage.tables import Store

USERS = 20


def measured(found):
    users = [f"u{number}" for number in range(USERS)]
    rows = pd.DataFrame({"protocol": "uniform", "row": "mmsrarec", "user_id": users, "position": 3})
    hits = [1.0] * found + [0.0] * (USERS - found)
    return rows.assign(**{"hr@5": hits, "ndcg@5": hits})


@pytest.fixture
def world(paths, monkeypatch, capsys):
    """Runs the command; gives its exit code and what it printed. What was refreshed and renewed stands in ``done``."""
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "400")
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\nsettings: {seed: 3}\n")
    done: list[tuple[str, tuple[str, ...]]] = []
    store, hits = Store(paths.data), {"shop": 16, "shop-no-grpo": 6}

    def refreshed(instance, paths, dataset, left_out, *, yes, quiet):
        done.append((dataset, left_out))
        if dataset == "shop-gru4rec":
            return Outcome(failures=[Failure(dataset, "the disk is full")])
        store.replace(Tables.USER_METRICS, dataset, measured(hits.get(dataset, 16)))
        return Outcome()

    def again(instance, paths, name, asset):
        done.append((name, (f"again: {asset}",)))
        return Outcome()

    monkeypatch.setattr(ablation, "_refreshed", refreshed)
    monkeypatch.setattr("mmsra_pipeline.orchestration.refresh.again", again)

    def run(*words):
        done.clear()
        monkeypatch.setattr(sys, "argv", ["mmsra", "ablate", "-d", "shop", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    run.done, run.store = done, store
    return run


def test_a_dry_run_says_what_each_row_computes_and_makes_nothing(world, paths):
    code, out, err = world("--dry-run", "--json")
    assert code == 0, err
    assert (world.done, list_datasets(paths.datasets)) == ([], ["shop"])
    content = json.loads(out)
    plans = {one["row"]: one for one in content["variants"]}
    assert plans["no-grpo"]["computed"] == ["summarizer"]
    assert {"item_keywords", "recommender", "rankings", "metrics"} <= set(plans["no-grpo"]["depending"])
    assert {"alignment", "user_encoder", "similar_users"} <= set(plans["no-grpo"]["taken_over"])
    assert plans["no-sft"]["computed"] == ["recommender"]
    assert not any("report" in plans["gru4rec"][name] for name in ("computed", "depending", "taken_over"))
    left = content["left_out"]
    assert set(left) == {"raw-titles", "no-candidate-picture", "no-candidate-text"}
    assert "'shop' has these settings itself" in left["no-candidate-picture"]  # the preset's prompt shows none
    assert plans["no-picture"]["computed"] == ["draft_keywords", "summarizer", "item_keywords"]
    assert {"alignment", "similar_users"} <= set(plans["no-picture"]["taken_over"])


def test_variants_are_made_one_by_one_and_compared_by_user_and_the_report_is_renewed(world, paths):
    code, out, err = world("--rows", "no-grpo, no-sft")
    assert code == 0, err
    assert [name for name, _ in world.done] == ["shop", "shop-no-grpo", "shop-no-sft", "shop"]
    assert [left for _, left in world.done] == [(), *[ablation.LEFT_OUT] * 2, ("again: report",)]
    variant = load_dataset(paths.datasets, "shop-no-grpo")
    assert variant.settings == {"seed": 3, "grpo": {"steps": 0}}
    content = json.loads(world("--rows", "no-grpo,no-sft", "--json")[1])  # gone on with: nothing is refused
    found = {(one["variant"], one["metric"]): one for one in content["table"]}
    assert len(found) == 4
    grpo = found["shop-no-grpo", "hr@5"]
    assert (grpo["first"], grpo["second"], grpo["difference"], grpo["users"]) == (80.0, 30.0, -50.0, USERS)
    assert grpo["low"] < -50 < grpo["high"] < 0
    assert found["shop-no-sft", "hr@5"]["difference"] == 0
    assert "-50.0 [" in out
    assert "keywords without tuning by reward" in out


def test_one_that_fails_is_said_and_the_others_are_made(world):
    code, out, err = world("--rows", "gru4rec,no-grpo")
    assert code == 1
    assert "Error: dataset shop-gru4rec: the disk is full" in err
    assert [name for name, _ in world.done] == ["shop", "shop-gru4rec", "shop-no-grpo", "shop"]
    assert "-50.0 [" in out


def test_a_data_set_of_that_name_with_other_settings_is_refused(world, paths):
    vary(paths, "shop", "shop-no-grpo", ["grpo.steps=1"], None)
    code, _, err = world("--rows", "no-grpo")
    assert code == 1
    assert "is there with other settings: grpo.steps=1. Remove it with `mmsra dataset remove shop-no-grpo`" in err
    code, _, err = world("--rows", "no-grpos")
    assert code == 1
    assert "'no-grpos' is no row. Choose of: raw-text, no-grpo" in err


def test_raw_titles_are_cut_to_as_many_tokens_as_keywords_have(world, paths):
    words = pd.DataFrame({"item_id": ["i1"], "keywords": [["red", "mug", "tea"]]})  # with two commas five tokens
    text = "One two three four five six seven"  # 'three' has two
    world.store.replace(Tables.ITEM_KEYWORDS, "shop", words)
    world.store.replace(Tables.ITEM_TEXT, "shop", pd.DataFrame({"item_id": ["i1"], "text": [text]}))
    assert world("--rows", "raw-titles")[0] == 0
    prompt = config_of(load_dataset(paths.datasets, "shop-raw-titles")).recommendation.prompt
    assert (prompt.history, text[: prompt.history_chars]) == ("text", "One two three four")
    world.store.replace(Tables.ITEM_KEYWORDS, "shop", words.assign(keywords=[["red"]]))
    assert world("--rows", "raw-titles")[0] == 0  # its bound stays
