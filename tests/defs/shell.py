"""Runs the command line in processes of their own, in a root of its own, with settings that make all stages short."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from defs.tiny_settings import SETTINGS

from mmsra_pipeline.orchestration.settings_read import READS

ALL = set(READS)


class Shell:
    """Runs the command line in a root of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "settings.yaml"
        self.environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
        self.environment |= {
            "MMSRA_ROOT": str(root),
            "MMSRA_CONFIG": str(self.config),
            "OMP_NUM_THREADS": "2",
            "PYTHONUNBUFFERED": "1",
        }

    def settings(self, **changes):
        tree = json.loads(json.dumps(SETTINGS))
        tree["backbone"]["model"] = str(self.root / "tiny")
        for path, value in changes.items():
            *outer, last = path.split("__")
            inner = tree
            for name in outer:
                inner = inner.setdefault(name, {})
            inner[last] = value
        self.config.write_text(yaml.safe_dump(tree))

    def start(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-c", "from mmsra_pipeline.cli.app import main; main()", *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def refresh(self, *words: str) -> dict:
        code, out, err = self.run("refresh", "--yes", "--json", *words)
        assert code == 0, err
        return json.loads(out)

    def add_tables(self, name: str, interactions: str, items: str = "item_id,title\ni1,Mug\n") -> Path:
        folder = self.root / "sources" / name
        folder.mkdir(parents=True)
        (folder / "interactions.csv").write_text(interactions)
        (folder / "items.csv").write_text(items)
        code, _, err = self.run("dataset", "add", name, "--format", "tables", "--path", str(folder))
        assert code == 0, err
        return folder

    def add_second(self) -> None:
        options = ["--option", "size=tiny", "--option", "seed=1"]
        code, _, err = self.run("dataset", "add", "second", "--format", "sample", *options)
        assert code == 0, err


def names(entries) -> list[str]:
    return [entry["asset"] for entry in entries]
