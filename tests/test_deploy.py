"""The example files of deploy/: readable, valid for Dagster, and of names that there are."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from mmsra_pipeline import definitions

PROJECT = Path(__file__).parents[1]
DEPLOY = PROJECT / "deploy"
NOT_DIFFERENT = ("concurrency", "run_monitoring", "run_retries", "retention", "python_logs", "telemetry", "nux")


def read(name):
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture
def database(monkeypatch):
    for name in ("USER", "PASSWORD", "HOST", "DB"):
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", "x")


def test_the_instance_is_valid_for_dagster(database):
    from dagster._core.instance.config import dagster_instance_config

    settings, _ = dagster_instance_config(str(DEPLOY))
    assert settings["storage"]["postgres"]["postgres_db"]["hostname"] == {"env": "DAGSTER_POSTGRES_HOST"}


def test_the_storage_takes_its_settings(database):
    storage = pytest.importorskip("dagster_postgres").DagsterPostgresStorage
    from dagster._config import process_config, resolve_to_config_type

    given = read("dagster.yaml")["storage"]["postgres"]
    checked = process_config(resolve_to_config_type(storage.config_type()), given)
    assert checked.success, checked.errors
    assert checked.value["postgres_db"]["hostname"] == "x"


def test_the_instance_differs_from_the_local_one_in_its_storage_alone():
    local = yaml.safe_load((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    deployed = read("dagster.yaml")
    assert {name: deployed[name] for name in NOT_DIFFERENT} == {name: local[name] for name in NOT_DIFFERENT}
    assert set(deployed) - set(local) == {"storage"}


def test_the_workspace_names_the_container_and_port_of_the_code():
    [entry] = read("workspace.yaml")["load_from"]
    command = read("compose.yaml")["services"]["code"]["command"]
    assert entry["grpc_server"]["host"] in read("compose.yaml")["services"]
    assert command[command.index("-p") + 1] == str(entry["grpc_server"]["port"])
    local = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    assert entry["grpc_server"]["location_name"] == local["location_name"]
    assert command[command.index("-m") + 1] == local["module_name"] == definitions.__name__


def test_the_commands_of_containers_are_commands_with_these_options():
    from click.testing import CliRunner
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli
    from dagster_webserver.cli import create_dagster_webserver_cli

    entries = {
        "dagster": create_dagster_cli(),
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": create_dagster_webserver_cli(),
    }
    for name in ("code", "webserver", "daemon"):
        program, *words = read("compose.yaml")["services"][name]["command"]
        command = entries[program]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, name
    assert CliRunner().invoke(entries["dagster"], ["code-server", "start", "--help"]).exit_code == 0


def test_images_and_versions_are_those_of_the_project():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    image = f"{project['name']}:{project['version']}"
    assert read("compose.yaml")["services"]["code"]["image"] == image
    values = read("kubernetes/values.yaml")
    [deployment] = values["dagster-user-deployments"]["deployments"]
    for owner in (values["dagsterWebserver"], values["dagsterDaemon"], deployment):
        assert f"{Path(owner['image']['repository']).name}:{owner['image']['tag']}" == image
    assert deployment["codeServerArgs"] == ["-m", definitions.__name__]
    [dagster] = [entry for entry in project["dependencies"] if entry.startswith("dagster==")]
    chart = (DEPLOY / "kubernetes" / "values.yaml").read_text()
    assert set(re.findall(r"\d+\.\d+\.\d+", chart)) == {dagster.removeprefix("dagster=="), project["version"]}


def test_the_variables_are_those_that_the_code_reads():
    code = "".join(path.read_text() for path in (PROJECT / "mmsra_pipeline").rglob("*.py"))
    [deployment] = read("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"]
    named = {entry["name"] for entry in deployment["env"]} | set(
        read("compose.yaml")["services"]["code"]["environment"]
    )
    ours = {name for name in named if name.startswith("MMSRA_")}
    assert ours == {"MMSRA_ROOT", "MMSRA_CONFIG", "MMSRA_SCRATCH"}
    assert all(f'"{name}"' in code for name in ours)


def test_what_the_image_copies_is_there():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied
    assert all((PROJECT / name).exists() for name in copied)


def test_every_file_is_marked_as_run_or_not_run():
    readme = (DEPLOY / "README.md").read_text()
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()} - {"README.md", ".env"}
    marks = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| (run|not run)\b", readme, re.MULTILINE))
    assert set(marks) == files
