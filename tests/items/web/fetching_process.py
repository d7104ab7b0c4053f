"""Fetches pictures in a process of its own, for tests that kill or measure it: FOLDER, SETTINGS and URLS as JSON."""

import json
import sys
from pathlib import Path

import pandas as pd
from items.web.picture_server import resolve

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.ingest.raw_tables import item_table
from mmsra_pipeline.items.images import build_item_images
from mmsra_pipeline.storage.artifacts import Artifacts


def main(folder: str, settings: str, urls: str) -> None:
    named = json.loads(urls)
    items = item_table(pd.DataFrame({"item_id": named, "image": named}))
    config = ItemsConfig(fetch=json.loads(settings))
    table = build_item_images(items, named, None, Artifacts(Path(folder)), config, resolve=resolve)
    # Not resource.getrusage: its peak is at least that of the process that started this one.
    [peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    statuses = dict(zip(table["item_id"], table["status"]))
    print(json.dumps({"statuses": statuses, "peak_megabytes": int(peak) / 1024}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
