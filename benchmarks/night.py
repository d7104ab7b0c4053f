"""What a night with 1 % new reviews costs against the first computation, asset by asset, in CPU seconds.

    python benchmarks/night.py --users 100000 --root FOLDER [--share 0.01] [--form parquet|csv] [--assets ...]

The data are those of `benchmarks/scale.py`. Each asset is computed by a process of its own, first of all rows; then the
night's rows come, by users and of items who are known for the most part, later than all others: as a file beside the
old one (parquet), or at its end (csv). Then each is computed again. Trainings are left out, as a night leaves them out.
CPU seconds are those of all threads of the process, without what it takes to start and to import what all assets need.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import scale

ASSETS = ("raw_reviews", "interactions", "sequences", "training_queries", "item_text", "item_images",
          "cooccurrence_neighbors")  # fmt: skip
NEW_SQL = """
select 'AE22236AFRRSMQ' || lpad(user_at::text, 10, '0') as user_id,
       'B0' || lpad(item_at::text, 8, '0') as item_id,
       timestamp, rating
from (
    select floor(pow(hash(2 * i + 17) / 18446744073709551616.0, 1.5) * $users * 1.002)::bigint as user_at,
           floor(pow(hash(2 * i + 18) / 18446744073709551616.0, 2.0) * $items * 1.002)::bigint as item_at,
           1494608000000 + (hash(i * 7919 + 4) / 18446744073709551616.0 * 86400000)::bigint as timestamp,
           1.0 + hash(i * 31 + 6) % 5 as rating
    from range($first, $first + $rows) as rows(i)
)
"""


def generate(root: Path, users: int, form: str) -> None:
    """Write the data set of all days before the night."""
    import duckdb

    scale.generate(root, users)
    source = root / "source"
    if form == "csv":
        old = source / "interactions.parquet"
        with duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as connection:
            connection.execute(f"copy (from '{old}') to '{source / 'interactions.csv'}' (format csv, header)")
        old.unlink()
    options = f"interactions: interactions*.{form}\nitems: items.parquet"
    (root / "datasets" / f"{scale.DATASET}.yaml").write_text(f"format: tables\npath: {source}\n{options}\n")


def add_night(root: Path, users: int, share: float, form: str) -> int:
    """Add the rows of a night, and return their number."""
    import duckdb

    source, rows = root / "source", round(users * scale.PER_USER * share)
    items = max(100, round(users * scale.ITEMS_PER_USER))
    given = {"users": users, "items": items, "first": users * scale.PER_USER, "rows": rows}
    new = source / ("interactions_night.parquet" if form == "parquet" else "night.part")
    options = "(format parquet)" if form == "parquet" else "(format csv, header false)"
    with duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as connection:
        connection.execute(f"copy ({NEW_SQL}) to '{new}' {options}", given)
    if form == "csv":
        with (source / "interactions.csv").open("ab") as log:
            log.write(new.read_bytes())
        new.unlink()
    return rows


def computed(root: Path, asset: str) -> dict[str, Any]:
    """Compute an asset in a process of its own."""
    command = [sys.executable, scale.__file__, "--compute", asset, "--root", str(root)]
    with (root / f"{asset}.log").open("a") as log:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{asset} failed: see {root / asset}.log")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(root: Path, users: int, assets: Sequence[str], share: float, form: str) -> dict[str, Any]:
    """Compute all, add a night, compute again. What was measured before is read from the folder."""
    kept = root / "night.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {"first": {}, "night": {}}
    if not (root / "mmsra.yaml").is_file():
        generate(root, users, form)
    for part in ("first", "night"):
        if part == "night" and "rows" not in known:
            known["rows"] = add_night(root, users, share, form)
        for asset in assets:
            if asset not in known[part]:
                known[part][asset] = computed(root, asset)
                print(part, json.dumps(known[part][asset]), flush=True)
            kept.write_text(json.dumps(known, indent=1))
    return known


def report(known: dict[str, Any], assets: Sequence[str]) -> str:
    """Return a table in Markdown."""
    lines = ["| asset | first: CPU s / peak GB | night: CPU s / peak GB | ratio |", "|---|---|---|---|"]
    total = {"first": 0.0, "night": 0.0}
    for asset in assets:
        first, night = known["first"][asset], known["night"][asset]
        cells = [f"{one['cpu_seconds']:.1f} / {one['peak_gb']:.2f}" for one in (first, night)]
        lines.append(f"| {asset} | {' | '.join(cells)} | {night['cpu_seconds'] / first['cpu_seconds']:.1%} |")
        for part in total:
            total[part] += known[part][asset]["cpu_seconds"]
    lines.append(f"| all | {total['first']:.1f} | {total['night']:.1f} | {total['night'] / total['first']:.1%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.01, help="of the rows that a night adds")
    parser.add_argument("--form", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--assets", nargs="+", choices=ASSETS, default=list(ASSETS))
    asked = parser.parse_args()
    asked.root.mkdir(parents=True, exist_ok=True)
    known = measure(asked.root, asked.users, asked.assets, asked.share, asked.form)
    print(f"{known['rows']:,} new rows of {asked.users * scale.PER_USER:,}")
    print(report(known, asked.assets))


if __name__ == "__main__":
    main()
