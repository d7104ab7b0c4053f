"""Dagster's webserver and daemon for an installation."""

import sys
from typing import Final

from mmsra_pipeline.orchestration.instance import open_instance
from mmsra_pipeline.orchestration.pools import size_pools
from mmsra_pipeline.orchestration.settings_read import loaded_config
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.paths import Paths

WORKSPACE_YAML: Final = """\
load_from:
  - python_module:
      module_name: mmsra_pipeline.definitions
      location_name: mmsra_pipeline
"""


def serving_command(paths: Paths, host: str, port: int) -> list[str]:
    """Return the command that serves the UI, after making what it needs: the instance with its databases.

    ``dagster dev`` by itself would make the databases in place: a kill in that second would break every later start.
    """
    with open_instance(paths) as instance:
        size_pools(instance, loaded_config().limits.step_memory_gb)
    workspace = paths.dagster_home.resolve() / "workspace.yaml"
    if not workspace.is_file():  # what a user changed there stays
        write_atomically(workspace, WORKSPACE_YAML.encode())
    return [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "--host", host, "--port", str(port)]
