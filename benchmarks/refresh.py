"""What one new item costs: a nightly refresh after a review, a row and a picture were added, against a first refresh.

    python benchmarks/refresh.py [--embedded] [--folder FOLDER]

A data set of 100 items in `format: tables`, as the built-in shop is. Both refreshes are processes of their own; the
second leaves the trainings out, as the nightly one does. Prints asset by asset what was computed and how long that
took, how many texts were cleaned, pictures decoded and keywords generated, and the ratio of the seconds (goal: at most
5 %). By default the model is a tiny random one: then start-up and what does not depend on the model weigh most, and the
ratio says little of the real one. With --embedded it is the embedded model: some 20 minutes.
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

import yaml

GOAL = 0.05
NAME = "shop"
NEW = "p999"
TINY = {
    "preset": "sample",
    "backbone": {"image_side": 32, "device": "cpu"},
    "alignment": {"steps": 20, "batch_size": 4, "measured_pictures": 8},
    "grpo": {"steps": 2, "items_per_step": 1, "group_size": 2},
    "summarization": {"max_new_tokens": 8},
    "recommendation": {"examples": 64},
    "evaluation": {"users": 20},
}
NIGHT = """
import json
from mmsra_pipeline.orchestration.instance import open_instance
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.loading import load_definitions
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.items import picture_store, text
from mmsra_pipeline.storage.paths import find_paths

counts = {"texts cleaned": 0, "pictures decoded": 0}

def counted(module, name, what):
    inner = getattr(module, name)
    def call(*args, **options):
        counts[what] += 1
        return inner(*args, **options)
    setattr(module, name, call)

counted(text, "_cleaned", "texts cleaned")
counted(picture_store, "decode_image", "pictures decoded")
paths = find_paths()
with open_instance(paths) as instance:
    # In this process, where the calls are counted.
    outcome = refresh(instance, paths, leave_out=frozenset(COSTLY), definitions=load_definitions())
if outcome.failures:
    raise SystemExit("\\n".join(failure.text for failure in outcome.failures))
print(json.dumps(counts))
"""
WHOLE = {
    "raw_reviews": "the source files are read anew from their beginning",
    "interactions": "filters such as the k-core look at all interactions",
    "sequences": "every user is cut into queries again",
    "sft_dataset": "prompts are drawn from all users and show keywords, texts and counts",
    "similar_users": "every query is searched for again",
    "draft_keywords": "a fixed sample, from the cache; quality is measured again",
    "first_stage_recall": "of all queries of the test split",
    "rankings": "every prompt is made anew; lists are scored again of which one changed",
    "recommendations": "every prompt is made anew; lists are scored again of which one changed",
    "metrics": "of all rankings",
}


def environment(root: Path) -> dict[str, str]:
    """For a process whose root is ``root``."""
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return kept | {"MMSRA_ROOT": str(root), "MMSRA_CONFIG": str(root / "settings.yaml"), "PYTHONWARNINGS": "ignore"}


def prepare(root: Path, embedded: bool) -> Path:
    """Write settings and a data set of 100 items, and give its folder."""
    from mmsra_pipeline.sample_store.shop import make_shop, write_shop

    settings: dict[str, Any] = {"preset": "sample"}
    if not embedded:
        sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]
        from tiny import tiny_fastvlm

        settings = {**TINY, "backbone": {**TINY["backbone"], "model": str(tiny_fastvlm(root / "tiny"))}}
    (root / "settings.yaml").write_text(yaml.safe_dump(settings))
    source = root / "source"
    write_shop(make_shop("small", 0), source)
    (root / "datasets").mkdir()
    (root / "datasets" / f"{NAME}.yaml").write_text(f"format: tables\npath: {source}\n")
    return source


def add_item(source: Path) -> None:
    """Add an item with a picture, and a review of it by a user who is known."""
    with (source / "items.csv").open("a") as items:
        items.write(f'{NEW},Amber wool kite,A light kite of wool,toys,,"{NEW}.png"\n')
    known = next(path for path in sorted((source / "images").glob("*.png")))
    from PIL import Image

    with Image.open(known) as picture:
        picture.rotate(90).save(source / "images" / f"{NEW}.png")
    lines = (source / "interactions.csv").read_text().splitlines()
    user = lines[-1].split(",")[0]
    with (source / "interactions.csv").open("a") as reviews:
        reviews.write(f"{user},{NEW},2030-01-01T00:00:00Z,5,good\n")


def timed(command: list[str], root: Path) -> tuple[float, str]:
    """Seconds of a command, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment(root), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - start, done.stdout


def last_report(root: Path) -> Any:
    """The rows of the latest refresh."""
    from mmsra_pipeline.storage.tables import Store

    rows = Store(root / "data").read("refresh_report", NAME)
    return rows[rows["at"] == rows["at"].max()]


def generated(root: Path) -> int:
    """Keywords in the cache."""
    from mmsra_pipeline.storage.keyed_cache import KeyedCache
    from mmsra_pipeline.storage.paths import Paths

    return len(KeyedCache[str](Paths(root).keywords))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedded", action="store_true", help="the embedded model in place of a tiny random one")
    parser.add_argument("--folder", type=Path, help="an empty folder; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(options.folder or Path(scratch), options.embedded)


def measure(root: Path, embedded: bool) -> None:
    """Refresh, add an item, refresh again without trainings, and say what that cost."""
    source = prepare(root, embedded)
    cli = [sys.executable, "-c", "from mmsra_pipeline.cli.app import main; main()", "refresh", "--json"]
    whole, _ = timed(cli, root)
    first, keywords = last_report(root), generated(root)
    add_item(source)
    time.sleep(6)  # until file times tell the change from what is remembered
    night, out = timed([sys.executable, "-c", NIGHT], root)
    second = last_report(root)
    idle, _ = timed([sys.executable, "-c", NIGHT], root)
    seconds = dict(zip(first["asset"], first["seconds"]))
    print(f"{'asset':24}{'first':>8}{'night':>8}  outcome")
    for row in second.to_dict("records"):
        note = WHOLE.get(row["asset"], "") if row["outcome"] in ("changed", "unchanged") else ""
        print(f"{row['asset']:24}{seconds[row['asset']]:8.2f}{row['seconds']:8.2f}  {row['outcome']:10}  {note}")
    counts = json.loads(out.splitlines()[-1]) | {"keywords generated": generated(root) - keywords}
    print("\n".join(f"{what}: {count}" for what, count in counts.items()))
    computed = second["seconds"].sum() / first["seconds"].sum()
    print(f"first refresh {whole:.1f} s, night {night:.1f} s, a night with nothing to do {idle:.1f} s")
    print(f"ratio of the seconds of the assets {computed:.1%}, of the processes {night / whole:.1%} (goal {GOAL:.0%})")


if __name__ == "__main__":
    main()
