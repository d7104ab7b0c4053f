"""Peak memory of each asset of a first refresh, and of the largest process that took part.

    python benchmarks/memory.py [--dataset sample] [--folder FOLDER]

By default a tiny store with a tiny random model, in minutes: what is left then is what the libraries take. With
`--dataset sample` it is the demo, as `make demo` runs it: the embedded model, some 20 minutes. Each step is a process
of its own and tells the peak of its resident memory (VmHWM); shared pages of the libraries count in each. The largest
process is looked for twice a second among all that the command starts, so that none is forgotten: the run's own and the
server that steps are forked from too. Goal: the largest is below 4 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

GOAL_GB = 4.0


def main() -> None:
    """Run it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=["tiny", "sample"], default="tiny")
    parser.add_argument("--folder", type=Path, help="an empty folder, which is kept; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        assets, largest = measure(options.folder or Path(scratch), whole=options.dataset == "sample")
    for asset in assets:
        print(f"{asset['asset']:24}{asset['peak_memory_gb'] or 0:8.2f} GB{asset['seconds']:10.1f} s")
    name, peak = max(largest.items(), key=lambda found: found[1])
    print(f"{'largest process':24}{peak:8.2f} GB  ({name}; goal: below {GOAL_GB:g} GB)")
    raise SystemExit(0 if peak < GOAL_GB else 1)


def measure(root: Path, *, whole: bool) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Give what became of each asset, and the most memory seen of each kind of process, in GB."""
    settings: dict[str, Any] = {"preset": "sample"}
    if not whole:
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
        from defs.tiny_settings import SETTINGS
        from tiny import tiny_fastvlm

        settings = SETTINGS | {"backbone": {**SETTINGS["backbone"], "model": str(tiny_fastvlm(root / "model"))}}
    (root / "settings.yaml").write_text(yaml.safe_dump(settings))
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment = kept | {
        "MMSRA_ROOT": str(root),
        "MMSRA_CONFIG": str(root / "settings.yaml"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", "from mmsra_pipeline.cli.app import main; main()"]
    size = [] if whole else ["--option", "size=tiny"]
    added = [*command, "dataset", "add", "shop", "--format", "sample", *size]
    subprocess.run(added, env=environment, cwd=root, check=True, capture_output=True)
    with (root / "out.json").open("w") as out, (root / "log").open("w") as log:
        process = subprocess.Popen([*command, "refresh", "--json"], env=environment, cwd=root, stdout=out, stderr=log)
        largest: dict[str, float] = {}
        while process.poll() is None:
            look(process.pid, largest)
            time.sleep(0.5)
    if process.returncode not in (0, 3):
        raise SystemExit((root / "log").read_text()[-3000:])
    return json.loads((root / "out.json").read_text())["assets"], largest


def look(pid: int, largest: dict[str, float]) -> None:
    """Take note of the resident memory of a process and all below it."""
    try:
        run = psutil.Process(pid)
        for process in (run, *run.children(recursive=True)):
            kind = "the run's own" if process.pid == pid else "the server" if process.ppid() == pid else "a step"
            largest[kind] = max(largest.get(kind, 0.0), process.memory_info().rss / 1e9)
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    main()
