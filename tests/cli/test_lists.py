"""`mmsra lists`: what it writes can be read, and what it keeps is named as settings want it."""

import sys

import pandas as pd
import pytest
import yaml

from mmsra_pipeline.cli import app as cli
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.evaluation.given_lists import given_lists
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.tables import Store

LISTS = pd.DataFrame(
    [("uniform", user, 3, item, item == f"i{user}") for user in "12" for item in ("i1", "i2", "i3")],
    columns=["protocol", "user_id", "position", "item_id", "is_target"],
)


@pytest.fixture
def shop(paths):
    paths.datasets.mkdir(parents=True)
    (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    store = Store(paths.data)
    store.replace(Tables.CANDIDATES, "shop", LISTS.assign(p=0.5))
    queries = pd.DataFrame(
        [(user, "test", 3, f"i{user}") for user in "12"], columns=["user_id", "split", "position", "target"]
    )
    store.replace(Tables.SEQUENCES, "shop", queries)
    store.replace(Tables.INTERACTIONS, "shop", pd.DataFrame({"item_id": ["i1", "i2", "i3"]}))
    return paths


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["mmsra", "lists", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.mark.parametrize("name", ["lists.csv", "lists.parquet"])
def test_lists_written_to_a_file_are_those_measured_and_can_be_imported(shop, tmp_path, monkeypatch, capsys, name):
    file = tmp_path / name
    code, out, err = run(monkeypatch, capsys, "export", "-d", "shop", str(file))
    assert (code, err) == (0, "")
    assert f"6 candidates in 2 lists: {file}" in out
    read = pd.read_csv(file, dtype={"user_id": "str"}) if name.endswith("csv") else pd.read_parquet(file)
    assert read.to_numpy().tolist() == LISTS.to_numpy().tolist()
    code, out, err = run(monkeypatch, capsys, "import", "-d", "shop", str(file), "--name", "paper")
    assert (code, err) == (0, "")
    settings = yaml.safe_load(out[out.index("settings:") :])["settings"]["evaluation"]
    queries = Store(shop.data).read(Tables.SEQUENCES, "shop")
    kept = given_lists(Artifacts.of(shop), EvaluationConfig.model_validate(settings).lists, queries)
    assert kept.to_numpy().tolist() == LISTS.assign(protocol="paper").to_numpy().tolist()


def test_of_a_file_with_several_protocols_one_is_chosen(shop, tmp_path, monkeypatch, capsys):
    Store(shop.data).replace(Tables.CANDIDATES, "shop", pd.concat([LISTS, LISTS.assign(protocol="popularity")]))
    file = tmp_path / "both.csv"
    assert run(monkeypatch, capsys, "export", "-d", "shop", str(file))[0] == 0
    for chosen in ([], ["--protocol", "hard"]):
        code, _, err = run(monkeypatch, capsys, "import", "-d", "shop", str(file), *chosen)
        assert code == 1
        assert "lists of the protocols uniform, popularity" in err
        assert "Choose which with --protocol" in err
    code, out, _ = run(monkeypatch, capsys, "import", "-d", "shop", str(file), "--protocol", "popularity")
    assert code == 0
    assert "2 lists of 6 candidates are kept" in out


def test_refused_lists_are_said_and_a_name_of_drawn_ones_is_an_error(shop, tmp_path, monkeypatch, capsys):
    file = tmp_path / "paper.csv"
    rows = LISTS[["user_id", "item_id"]]
    pd.concat([rows, rows.iloc[:2].assign(user_id="9")]).to_csv(file, index=False)
    code, _, err = run(monkeypatch, capsys, "import", "-d", "shop", str(file))
    assert code == 0
    assert "1 lists refused: the user is not among those of test (paper.csv, row 8: user '9'" in err
    for name in ("uniform", "A paper", ""):
        code, _, err = run(monkeypatch, capsys, "import", "-d", "shop", str(file), "--name", name)
        assert code == 1
        assert "cannot be called" in err


def test_a_place_that_cannot_be_written_is_an_error(shop, tmp_path, monkeypatch, capsys):
    for file, words in ((tmp_path / "lists.txt", ".csv"), (tmp_path / "absent" / "lists.csv", "there is no folder")):
        code, _, err = run(monkeypatch, capsys, "export", "-d", "shop", str(file))
        assert code == 1
        assert words in err
