"""The co-occurrence neighbor table, against scipy.sparse, from Parquet file to Parquet file.

    python benchmarks/cooccurrence.py [--interactions 2000000 ...] [--window 5] [--repeats 3] [--folder FOLDER]

Runs on MicroLens-50k (0.36 M interactions; MMSRA_REAL_DATA names the folder that holds it) and on generated
interactions, whose items are taken by a power law. Each run is a process of its own; what is printed is the best of
them, imports left out, and the largest peak memory. CPU seconds tell more than seconds on a machine with other work.

The alternative does what one would write with scipy: ids are dictionary-encoded by pyarrow; for each gap up to the
window the matrix X_g' Y_g is counted, where the rows of X_g and Y_g are the interactions that many places apart of one
user (each row has a single 1, so the product is a coo_matrix of both columns, summed by tocsr); the sums are divided by
the cosine's denominator and ordered by one lexsort. Both results must agree, or the run stops.

Ours keeps each event with its user and time, which the table does not need and evidence does; it runs for the window of
the table and for that of evidence.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.retrieval.cooccurrence.index import WINDOW

MEASURE = """
import json, resource, sys, time
begun, cpu = time.perf_counter(), time.process_time()
{work}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - begun, time.process_time() - cpu, used.ru_maxrss / 1024]))
"""
OURS = """
import pandas as pd
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.cooccurrence.neighbors import neighbors
source, target, window, counted = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
begun, cpu = time.perf_counter(), time.process_time()
index = CooccurrenceIndex.of_training(pd.read_parquet(source), counted)
neighbors(index.within(window), 20).to_parquet(target, compression="zstd", index=False)
"""
SCIPY = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, scipy.sparse
source, target, window = sys.argv[1], sys.argv[2], int(sys.argv[3])
begun, cpu = time.perf_counter(), time.process_time()
table = pq.read_table(source, columns=["user_id", "item_id", "position"])
user = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
encoded = table["item_id"].combine_chunks().dictionary_encode()
position = table["position"].to_numpy()
names = encoded.dictionary.to_numpy(zero_copy_only=False)
by_name = np.argsort(names)
names, code = names[by_name], np.empty(len(names), dtype=np.int32)
code[by_name] = np.arange(len(names), dtype=np.int32)
item = code[encoded.indices.to_numpy()]
del table, encoded
count = np.bincount(item, minlength=len(names)).astype(np.float64)
pairs = scipy.sparse.csr_matrix((len(names), len(names)), dtype=np.int32)
for gap in range(1, window + 1):
    joined = (user[:-gap] == user[gap:]) & (position[gap:] - position[:-gap] <= window)
    first, second = item[:-gap][joined], item[gap:][joined]
    pairs = pairs + scipy.sparse.coo_matrix((np.ones(len(first), np.int32), (first, second)), pairs.shape).tocsr()
first, second, users = np.repeat(np.arange(len(names)), np.diff(pairs.indptr)), pairs.indices, pairs.data
score = users / np.sqrt(count[first] * count[second])
order = np.lexsort((second, -users, -score, first))
first, second, users, score = first[order], second[order], users[order], score[order]
rank = np.arange(len(first)) - pairs.indptr[first] + 1
kept = rank <= 20
pq.write_table(pa.table({
    "item_id": names[first[kept]], "neighbor_id": names[second[kept]], "rank": rank[kept].astype(np.int64),
    "score": score[kept], "users": users[kept].astype(np.int64),
}), target, compression="zstd")
"""
PART_USERS = 100_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, nargs="*", default=[2_000_000])
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="for generated files; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        real = Path(os.environ.get("MMSRA_REAL_DATA", "")) / "microlens-50k" / "MicroLens-50k_pairs.tsv"
        if os.environ.get("MMSRA_REAL_DATA") and real.is_file():
            compare("MicroLens-50k", microlens(real, folder), asked.window, asked.repeats, folder)
        else:
            print("MicroLens-50k: skipped, for MMSRA_REAL_DATA names no folder that holds microlens-50k")
        for count in asked.interactions:
            compare("generated", generate(count, folder), asked.window, asked.repeats, folder)


def compare(name: str, rows: Path, window: int, repeats: int, folder: Path) -> None:
    """Print what both ways take for ``rows``."""
    ours, theirs, wide = (folder / file for file in ("ours", "scipy", "wide"))
    found: dict[str, list[list[float]]] = {}
    for _ in range(repeats):  # in turns, so that other load falls on all alike
        jobs = {
            "scipy": (SCIPY, rows, theirs, window),
            "ours": (OURS, rows, ours, window, window),
            "ours, for evidence": (OURS, rows, wide, window, max(window, WINDOW)),
        }
        for job, (code, *words) in jobs.items():
            found.setdefault(job, []).append(run(code, *words))
    same(ours, theirs)
    same(ours, wide)
    print(f"{name}: {pq.read_metadata(rows).num_rows} interactions, window {window}")
    for job, runs in found.items():
        seconds, cpu = (min(run[place] for run in runs) for place in (0, 1))
        print(f"  {job:20} {seconds:8.2f} s  {cpu:8.2f} CPU s  {max(run[2] for run in runs):7.0f} MB")
    ratios = [min(run[place] for run in found["ours"]) / min(run[place] for run in found["scipy"]) for place in (0, 1)]
    print(f"  ours / scipy: {ratios[0]:.2f} in seconds, {ratios[1]:.2f} in CPU seconds")


def run(code: str, *words: object) -> list[float]:
    """Seconds, CPU seconds and peak MB of a program."""
    command = [sys.executable, "-c", MEASURE.format(work=code), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: list[float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def same(one: Path, other: Path) -> None:
    """Stop if two results differ."""
    left, right = pq.read_table(one), pq.read_table(other)
    names = [name for name in left.column_names if name != "score"]
    if not left.select(names).equals(right.select(names)) or not np.allclose(left["score"], right["score"], 1e-12):
        raise SystemExit(f"{one.name} and {other.name} differ")


def microlens(source: Path, folder: Path) -> Path:
    """Write the interactions of MicroLens-50k: one line a user, the items in order."""
    lines = [line.rstrip("\n").split("\t") for line in source.open()]
    histories = [(user, items.split()) for user, items in lines]
    table = pa.table(
        {
            "user_id": [user for user, items in histories for _ in items],
            "item_id": [item for _, items in histories for item in items],
            "timestamp": pa.nulls(sum(len(items) for _, items in histories), pa.int64()),
            "position": [place for _, items in histories for place in range(len(items))],
        }
    )
    return write(folder / "microlens", [table])


def generate(count: int, folder: Path) -> Path:
    """Write about ``count`` interactions of users with 2 to 500, 8 on average, and of items taken by a power law."""
    users, items = count // 8, max(count // 18, 100)
    share = np.cumsum(1 / np.arange(1, items + 1) ** 0.9)
    names = pa.array(np.char.mod("i%08d", np.random.default_rng(0).permutation(items)))
    parts = (
        part(start, min(PART_USERS, users - start), names, share / share[-1]) for start in range(0, users, PART_USERS)
    )
    return write(folder / f"generated-{count}", parts)


def part(start: int, users: int, names: pa.Array, share: np.ndarray) -> pa.Table:
    """Draw the interactions of some users; an item that is drawn twice is taken once."""
    generator = np.random.default_rng([start, 1])
    user = np.repeat(np.arange(users), np.minimum(generator.geometric(1 / 7, users) + 1, 500))
    item = np.searchsorted(share, generator.random(len(user)))
    once = np.sort(np.unique(user * len(names) + item, return_index=True)[1])
    user, item = user[once], item[once]
    position = np.arange(len(user)) - np.searchsorted(user, user)
    return pa.table(
        {
            "user_id": np.char.mod("u%09d", user + start),
            "item_id": names.take(pa.array(item)),
            "timestamp": 1_500_000_000_000 + position * 86_400_000 + user,
            "position": position,
        }
    )


def write(path: Path, parts: Iterable[pa.Table]) -> Path:
    """Write all rows to one file."""
    file = path.with_suffix(".parquet")
    with contextlib.ExitStack() as files:
        writer: pq.ParquetWriter | None = None
        for rows in parts:
            writer = writer or files.enter_context(pq.ParquetWriter(file, rows.schema, compression="zstd"))
            writer.write_table(rows, row_group_size=65_536)
    return file


if __name__ == "__main__":
    main()
