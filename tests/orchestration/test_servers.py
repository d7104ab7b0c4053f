"""How the UI is started; that it then serves is in test_backfill.py and test_night.py."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from mmsra_pipeline.orchestration.instance_files import HISTORY
from mmsra_pipeline.orchestration.servers import WORKSPACE_YAML, serving_command
from mmsra_pipeline.storage.paths import find_paths


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return find_paths()


def workspace_of(command: list[str]) -> Path:
    return Path(command[command.index("-w") + 1])


def test_the_instance_is_made_before_it_is_served(paths):
    command = serving_command(paths, "127.0.0.1", 3111)
    assert (paths.dagster_home / HISTORY).is_dir()
    assert command[-4:] == ["--host", "127.0.0.1", "--port", "3111"]
    [place] = yaml.safe_load(workspace_of(command).read_text())["load_from"]
    assert place["python_module"]["location_name"] == "mmsra_pipeline"
    with dg.DagsterInstance.from_config(str(paths.dagster_home)) as instance:
        assert instance.get_runs() == []


def test_a_workspace_that_the_user_changed_stays(paths):
    changed = WORKSPACE_YAML.replace("location_name: mmsra_pipeline", "location_name: ours")
    paths.dagster_home.mkdir(parents=True)
    (paths.dagster_home / "workspace.yaml").write_text(changed)
    command = serving_command(paths, "127.0.0.1", 3111)
    assert workspace_of(command).read_text() == changed


def test_it_serves_what_the_projects_workspace_names(request):
    assert (request.config.rootpath / "workspace.yaml").read_text() == WORKSPACE_YAML
