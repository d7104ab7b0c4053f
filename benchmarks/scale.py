"""What the assets without a language model cost as the data grow: seconds, peak memory, bytes, exponent of growth.

    python benchmarks/scale.py --users 10000 100000 --root FOLDER [--assets sequences similar_users] [--table scale.md]

Users with skewed activity take items of skewed popularity, 20 each on average, one item for ten users, at times that
are spread over three years. Each asset is computed by Dagster in a process of its own, on the tables of those before
it. CPU seconds are those of all threads; the peak is that of the process, imports included. The exponent is the slope
of log seconds over log users between the least and the largest size, what an empty process takes left out.

The language model is left out: keywords are those of the generator, sentences are hashed, an answer is a number by the
item's name. 500 test users, 200 validation users and 500 users of serving are scored, 2,000 measure the recall: what a
model looks at is bounded at any size. The user encoder trains for one epoch without folds on sampled softmax. What is
already there in FOLDER is not made again.
"""

import mmsra_pipeline  # isort: skip  # noqa: F401  (says how threads wait, before libraries are loaded)
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATASET = "scale"
PER_USER = 20
ITEMS_PER_USER = 0.1
ASSETS = (
    "raw_reviews", "interactions", "sequences", "training_queries", "item_text", "item_images",
    "cooccurrence_neighbors", "user_encoder", "similar_users", "sft_dataset", "first_stage_recall", "fusion",
    "rankings", "metrics", "recommendations",
)  # fmt: skip
SETTINGS = """
preset: small-cpu
interactions: {max_users: null, max_items: null, user_core: 4, item_core: 3}
items: {cold_items: true}
retrieval: {encoder: {epochs: 1, folds: null, batch_size: 256, loss: softmax, validation_users: 2000},
            similar_users: {served_days: 1}}
recommendation: {examples: 400}
evaluation: {users: 500, validation_users: 200, recall_users: 2000}
recommendations: {users: active, active_days: 1}
"""
INTERACTIONS_SQL = """
copy (
    select 'AE22236AFRRSMQ' || lpad(user_at::text, 10, '0') as user_id,
           'B0' || lpad(item_at::text, 8, '0') as item_id,
           timestamp, rating
    from (
        select floor(pow(hash(2 * i) / 18446744073709551616.0, 1.5) * $users)::bigint as user_at,
               floor(pow(hash(2 * i + 1) / 18446744073709551616.0, 2.0) * $items)::bigint as item_at,
               1400000000000 + (hash(i * 7919 + 3) / 18446744073709551616.0 * 94608000000)::bigint as timestamp,
               1.0 + hash(i * 31 + 5) % 5 as rating
        from range($rows) as rows(i)
    )
) to $file (format parquet)
"""
ITEMS_SQL = """
copy (
    select 'B0' || lpad(i::text, 8, '0') as item_id,
           'Thing ' || i || ' ' || w1 || ' ' || w2 as title, 'A ' || w1 || ' thing of ' || w2 || '.' as description,
           w3 as category, w1 || '|' || w2 || '|' || w3 as tags
    from (select i, 'colour' || hash(i) % 97 as w1, 'stuff' || hash(i + 7) % 211 as w2, 'kind' || hash(i + 9) % 53 as w3
          from range($items) as rows(i))
) to $file (format parquet)
"""


def generate(root: Path, users: int) -> None:
    """Write source files, settings and the data set's file below ``root``."""
    import duckdb

    source = root / "source"
    source.mkdir(parents=True, exist_ok=True)
    items = max(100, round(users * ITEMS_PER_USER))
    with duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as connection:
        given = {"users": users, "items": items, "rows": users * PER_USER}
        connection.execute(INTERACTIONS_SQL, {**given, "file": str(source / "interactions.parquet")})
        connection.execute(ITEMS_SQL, {"items": items, "file": str(source / "items.parquet")})
    (root / "datasets").mkdir(exist_ok=True)
    options = "interactions: interactions.parquet\nitems: items.parquet"
    (root / "datasets" / f"{DATASET}.yaml").write_text(f"format: tables\npath: {source}\n{options}\n")
    (root / "mmsra.yaml").write_text(SETTINGS)


def without_language_model() -> None:
    """Put numbers by name in the place of what a model would say."""
    from mmsra_pipeline.backbone import sentence_cache
    from mmsra_pipeline.defs import recommendation
    from mmsra_pipeline.orchestration import recommender_inputs
    from mmsra_pipeline.recommendation import scoring, top_n

    class Sentences:
        """Vectors by the words of a text."""

        def __init__(self, *_: object) -> None:
            self._words: dict[str, np.ndarray] = {}

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            vectors = np.stack(
                [sum((self._vector(word) for word in set(text.split())), np.zeros(64)) for text in texts]
            )
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)

        def _vector(self, word: str) -> np.ndarray:
            if word not in self._words:
                self._words[word] = np.random.default_rng(list(word.encode())).normal(size=64)
            return self._words[word]

    def scored(_model: object, _queries: object, candidates: pd.DataFrame, *_: object, **__: object) -> pd.DataFrame:
        logit = pd.util.hash_array(candidates["item_id"].to_numpy(dtype=object)) / 2**64 * 8 - 4
        table = pd.DataFrame({"logit": logit, "mass": 0.99}, index=candidates.index)
        return table.assign(p=1 / (1 + np.exp(-table["logit"])))

    sentence_cache.SentenceCache = Sentences  # type: ignore[assignment,misc]
    scoring.score_candidates = top_n.score_candidates = scored  # type: ignore[assignment]
    for module in (recommender_inputs, recommendation):
        module.tuned_backbone = lambda _stage: None  # type: ignore[assignment,return-value]


def stand_in(root: Path) -> None:
    """Write the keywords that a summarizer would have written: those that the generator knows."""
    from mmsra_pipeline.columns import ITEM, KEYWORDS, Tables
    from mmsra_pipeline.storage.tables import Store

    store = Store(root / "data")
    texts = store.read(Tables.ITEM_TEXT, DATASET)
    words = [list(dict.fromkeys(str(tags).split(", "))) if tags == tags else [] for tags in texts["tags"]]
    store.replace(Tables.ITEM_KEYWORDS, DATASET, pd.DataFrame({ITEM: texts[ITEM], KEYWORDS: words}))


def compute(root: Path, asset: str) -> None:
    """Materialize one asset in this process, and print what it took as JSON."""
    import dagster as dg

    from mmsra_pipeline.defs import evaluation, fusion, interactions, items, rankings, recommendation, retrieval
    from mmsra_pipeline.defs.resources import Installation

    os.environ["MMSRA_ROOT"] = str(root)
    os.environ.pop("MMSRA_CONFIG", None)
    without_language_model()
    if asset == "sft_dataset":
        stand_in(root)
    modules = (interactions, items, retrieval, recommendation, evaluation, fusion, rankings)
    known = {name: getattr(module, name) for module in modules for name in ASSETS
             if isinstance(getattr(module, name, None), dg.AssetsDefinition)}  # fmt: skip
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("dataset", [DATASET])
        result = dg.materialize([known[asset]], instance=instance, partition_key=DATASET,
                                resources={"mmsra": Installation()}, raise_on_error=False)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_SELF)
    if not result.success:
        raise SystemExit(1)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"asset": asset, "seconds": round(time.perf_counter() - start, 2), "cpu_seconds": round(cpu, 2),
                      "peak_gb": round(_peak() / 1e9, 3)}))  # fmt: skip


def _peak() -> int:
    """Peak bytes of this process alone; getrusage gives at least those of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def stored_bytes(root: Path, asset: str) -> int:
    """Bytes of the current slices and artifacts of an asset."""
    beside = {"raw_reviews": ["raw_items", "rejects"], "sequences": ["training_bounds"],
              "item_text": ["item_text_sources"], "fusion": ["validation_candidates"], "rankings": ["candidates"],
              "metrics": ["differences", "metrics_by_count"]}  # fmt: skip
    folders = [root / "data" / table / DATASET for table in (asset, *beside.get(asset, []))]
    folders.append(root / "artifacts" / asset / DATASET)
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def measure(root: Path, users: int, assets: Sequence[str], limit: float) -> list[dict[str, Any]]:
    """Compute each asset in a process of its own; what was measured before is read from the folder."""
    if not (root / "mmsra.yaml").is_file():
        generate(root, users)
    kept = root / "measured.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    for asset in assets:
        if known.get(asset, {}).get("peak_gb"):
            continue
        command = [sys.executable, __file__, "--compute", asset, "--root", str(root)]
        with (root / f"{asset}.log").open("w") as log:
            try:
                done = subprocess.run(
                    command, stdout=subprocess.PIPE, stderr=log, text=True, check=False, timeout=limit
                )
                found = (
                    json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.returncode}
                )
            except subprocess.TimeoutExpired:
                found = {"failed": f"over {limit:.0f} s"}
        known[asset] = {"asset": asset, "users": users, **found, "bytes": stored_bytes(root, asset)}
        kept.write_text(json.dumps(known, indent=1))
        print(json.dumps(known[asset]), flush=True)
        if "failed" in found:
            print(f"see {root / asset}.log; what needs it is left out", flush=True)
            break
    return [known[asset] for asset in assets if asset in known]


def exponent(rows: pd.DataFrame) -> float:
    """Slope of log CPU seconds over log users between the least and the largest size that were computed."""
    done = rows.dropna(subset="cpu_seconds").sort_values("users")
    if len(done) < 2:
        return math.nan
    first, last = done.iloc[0], done.iloc[-1]
    return math.log(max(last["cpu_seconds"], 0.01) / max(first["cpu_seconds"], 0.01)) / math.log(
        last["users"] / first["users"]
    )


def report(rows: pd.DataFrame) -> str:
    """Return a table in Markdown: for each asset and size CPU seconds, peak GB and MB on disk; the exponent."""
    sizes = sorted(rows["users"].unique())
    heads = [f"{users:,} users: CPU s / peak GB / MB" for users in sizes]
    lines = ["| asset | " + " | ".join(heads) + " | exponent |", "|" + "---|" * (len(sizes) + 2)]
    for asset, own in rows.groupby("asset", sort=False):
        cells = []
        for users in sizes:
            [*found] = own[own["users"] == users].to_dict(orient="records")
            one = found[0] if found else {}
            cells.append(
                f"{one['cpu_seconds']:,.1f} / {one['peak_gb']:.2f} / {one['bytes'] / 1e6:,.1f}"
                if one.get("peak_gb") == one.get("peak_gb") and one.get("peak_gb")
                else f"{one.get('failed', '')}"
            )
        lines.append(f"| {asset} | {' | '.join(cells)} | {exponent(own):.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--assets", nargs="+", choices=ASSETS, default=list(ASSETS))
    parser.add_argument("--limit", type=float, default=3600, help="seconds that one asset may take")
    parser.add_argument("--table", type=Path, help="writes the table here too")
    parser.add_argument("--compute", choices=ASSETS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.compute:
        compute(asked.root, asked.compute)
        return
    found: list[dict[str, Any]] = []
    for users in sorted(asked.users):
        found += measure(asked.root / str(users), users, asked.assets, asked.limit)
    rows = pd.DataFrame(found)
    for name in ("cpu_seconds", "peak_gb", "failed"):
        if name not in rows:
            rows[name] = None
    table = report(rows)
    print(table)
    if asked.table:
        asked.table.write_text(table)


if __name__ == "__main__":
    main()
