"""A root made from nothing on the same sources with the same adapters, and how it differs."""

import shutil
from pathlib import Path

import dagster as dg
import pandas as pd
from endurance.installation import Installation
from endurance.soundness import versions

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.job_names import COSTLY

HISTORY = {
    f"data/{Tables.REFRESH_REPORT}": "tells of each refresh",
    # Whoever goes on from kept sums writes the same sums in another order; the table made of them is compared.
    f"artifacts/{Tables.COOCCURRENCE_NEIGHBORS}": "tells what was counted when",
}
"""What depends on how a root came to be what it is, and why."""


def take_trained(of: Installation, to: Installation, dataset: str) -> None:
    """Put the adapters of one installation into another, as if it had trained them."""
    places = [f"{home}/{asset}" for asset in COSTLY for home in ("data", "artifacts")]
    for place in [*places, f"data/{Tables.TUNING_MEASURES}"]:  # the summarizer writes it beside its own table
        shutil.copytree(of.root / place / dataset, to.root / place / dataset)
    with dg.DagsterInstance.from_config(str(to.root / "dagster_home")) as instance:
        for asset in COSTLY:
            tags = {"dagster/data_version": "taken"}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=dataset, tags=tags))


def compared(root: Path, dataset: str) -> dict[str, str]:
    """Give the versions of what does not depend on history."""
    left_out = {f"{place}/{dataset}" for place in HISTORY}
    return {place: version for place, version in versions(root).items() if place not in left_out}


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Say what has another version."""
    places = sorted(set(found) | set(expected))
    return [
        f"{place} is {found.get(place)}, not {expected.get(place)}"
        for place in places
        if found.get(place) != expected.get(place)
    ]


def first_rows(place: str, first: Path, second: Path) -> str:
    """Show the first rows in which two tables differ; "" of what is no table in both roots."""
    if not place.startswith("data/") or not all(place in versions(root) for root in (first, second)):
        return ""
    tables = [
        pd.read_parquet(root / place / f"{versions(root)[place]}.parquet").astype(str) for root in (first, second)
    ]
    rows = [list(table.itertuples(index=False, name=None)) for table in tables]
    at = next((n for n, (a, b) in enumerate(zip(*rows)) if a != b), min(map(len, rows)))
    texts = [str(table[at : at + 1]) if at < len(table) else "no such row" for table in rows]
    return f"{len(rows[0])} and {len(rows[1])} rows; row {at}:\n  {texts[0]}\n  {texts[1]}"
