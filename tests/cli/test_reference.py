from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsra_pipeline import __version__
from mmsra_pipeline.cli.app import app
from mmsra_pipeline.cli.reference import readers, settings, settings_markdown, tables_markdown
from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.orchestration.dictionary import TABLES
from mmsra_pipeline.orchestration.settings_read import READS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_says_what_it_means():
    assert [one.path for one in settings(Config()) if not one.meaning] == []


def test_the_page_of_settings_is_made_from_the_code():
    assert (DOCS / "settings.md").read_text() == settings_markdown()  # mmsra settings --markdown > docs/settings.md


def test_the_page_of_tables_is_made_from_the_code():
    assert (DOCS / "tables.md").read_text() == tables_markdown()  # mmsra tables --markdown > docs/tables.md


def test_every_table_is_described_and_written_by_an_asset():
    assert set(TABLES) == {value for name, value in vars(Tables).items() if name.isupper()}
    assert {table.writer for table in TABLES.values()} <= set(READS) | {Tables.REFRESH_REPORT}


def test_readers_are_those_of_the_graph():
    assert readers(Tables.SUMMARIZER) == "`item_keywords`, `keyword_quality`"
    assert readers(Tables.METRICS) == "`report`"
    assert readers(Tables.EXPLANATIONS) == "people"


def test_settings_below_a_path_and_their_values():
    config = Config().model_copy(update={"seed": 7})
    assert settings(config, "seed")[0].value == "7"
    assert settings(config, "seed")[0].default == "0"
    paths = [one.path for one in settings(config, "retrieval.encoder")]
    assert "retrieval.encoder.dim" in paths
    assert all(path.startswith("retrieval.encoder.") for path in paths)
    with pytest.raises(ConfigError, match=r"no setting is called 'retrieval\.encodr'"):
        settings(config, "retrieval.encodr")


def test_the_commands_print(monkeypatch):
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)
    run = CliRunner().invoke
    assert run(app, ["--version"]).stdout == f"mmsra_pipeline {__version__}\n"
    assert "fusion.folds" in run(app, ["settings", "fusion"]).stdout
    assert "rankings" in run(app, ["tables"]).stdout
    assert "against" in run(app, ["tables", "differences"]).stdout
    assert "Choose one of" in str(run(app, ["tables", "nothing"]).exception)
