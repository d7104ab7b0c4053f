"""The co-occurrence neighbor table, against scipy.sparse, from Parquet file to Parquet file.

    python benchmarks/cooccurrence.py [--interactions 2000000 ...] [--window 5] [--repeats 3] [--folder FOLDER]

Runs on MicroLens-50k (0.36 M interactions; MMSRA_REAL_DATA names the folder that holds it) and on generated
interactions, whose items are taken by a power law. Each run is a process of its own; what is printed is the best of
them, imports left out, and the largest peak memory. CPU seconds tell more than seconds on a machine with other work.

The alternative does what one would write with scipy: ids are dictionary-encoded by pyarrow; for each gap up to the
window the matrix X_g' Y_g is counted, where the rows of X_g and Y_g are the interactions that many places apart of one
user (each row has a single 1, so the product is a coo_matrix of both columns, summed by tocsr); what two users support
is divided by the cosine's denominator and ordered by one lexsort. It holds everything in memory. Both results must
agree, or the run stops.

Ours also runs with its state: counting all and keeping the sums, then again after 1 % of the users took something new.
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

MEASURE = """
import json, resource, sys, time
begun, cpu = time.perf_counter(), time.process_time()
{work}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - begun, time.process_time() - cpu, used.ru_maxrss / 1024]))
"""
OURS = """
import pyarrow.parquet as pq
from pathlib import Path
from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.retrieval.cooccurrence.neighbors import NEIGHBORS, cooccurrence_neighbors, neighbors
from mmsra_pipeline.retrieval.cooccurrence.state import update_counts
from mmsra_pipeline.storage.tables import Store
source, target, window, work, last = sys.argv[1:]
config, root = CooccurrenceConfig(window=int(window)), Path(target).parent
begun, cpu = time.perf_counter(), time.process_time()
with Store(root / "data").duckdb() as connection, pq.ParquetWriter(target, NEIGHBORS, compression="zstd") as writer:
    if work == "-":
        rows = cooccurrence_neighbors(connection, Path(source), config)
    else:
        Path(work).mkdir()
        counts = update_counts(connection, Path(source), config, Path(work), last=None if last == "-" else Path(last))
        rows = neighbors(connection, counts, config)
    for batch in rows:
        writer.write_batch(batch)
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
pairs.data[pairs.data < 2] = 0
pairs.eliminate_zeros()
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
            compare("MicroLens-50k", *microlens(real, folder), asked.window, asked.repeats, folder)
        else:
            print("MicroLens-50k: skipped, for MMSRA_REAL_DATA names no folder that holds microlens-50k")
        for count in asked.interactions:
            compare("generated", *generate(count, folder), asked.window, asked.repeats, folder)


def compare(name: str, rows: Path, fewer: Path, window: int, repeats: int, folder: Path) -> None:
    """Print what both ways take for ``rows``, and what ours takes to go on from ``fewer``."""
    ours, theirs, state, onward = (folder / file for file in ("ours", "scipy", "state", "onward"))
    found: dict[str, list[list[float]]] = {}
    for turn in range(repeats):  # in turns, so that other load falls on all alike
        works = [rows.with_suffix(f".work-{turn}-{number}") for number in range(3)]
        jobs = {
            "scipy": (SCIPY, rows, theirs),
            "ours": (OURS, rows, ours, "-", "-"),
            "ours, state of 99 %": (OURS, fewer, state, works[0], "-"),
            "ours, all and state": (OURS, rows, state, works[1], "-"),
            "ours, gone on": (OURS, rows, onward, works[2], works[0]),
        }
        for job, (code, source, target, *rest) in jobs.items():
            found.setdefault(job, []).append(run(code, source, target, str(window), *rest))
    same(ours, theirs)
    same(ours, onward)
    print(f"{name}: {pq.read_metadata(rows).num_rows} interactions, window {window}")
    for job, runs in found.items():
        seconds, cpu = (min(run[place] for run in runs) for place in (0, 1))
        print(f"  {job:20} {seconds:8.2f} s  {cpu:8.2f} CPU s  {max(run[2] for run in runs):7.0f} MB")
    for job, other in (("ours", "scipy"), ("ours, gone on", "ours, all and state")):
        ratios = [min(run[place] for run in found[job]) / min(run[place] for run in found[other]) for place in (0, 1)]
        print(f"  {job} / {other}: {ratios[0]:.2f} in seconds, {ratios[1]:.2f} in CPU seconds (goal: at most 1)")


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


def microlens(source: Path, folder: Path) -> tuple[Path, Path]:
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


def generate(count: int, folder: Path) -> tuple[Path, Path]:
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


def write(path: Path, parts: Iterable[pa.Table]) -> tuple[Path, Path]:
    """Write all rows to one file, and to another those but the latest of 1 % of the users."""
    whole, fewer = path.with_suffix(".parquet"), path.with_suffix(".fewer.parquet")
    with contextlib.ExitStack() as files:
        writers: list[pq.ParquetWriter] = []
        for rows in parts:
            if not writers:
                opened = (pq.ParquetWriter(file, rows.schema, compression="zstd") for file in (whole, fewer))
                writers = [files.enter_context(writer) for writer in opened]
            user, position = rows["user_id"].to_numpy(), rows["position"].to_numpy()
            latest = np.append(user[1:] != user[:-1], True) & (position > 0)
            number = np.cumsum(np.append(True, user[1:] != user[:-1]))
            writers[0].write_table(rows, row_group_size=65_536)
            writers[1].write_table(rows.filter(pa.array(~latest | (number % 100 != 0))), row_group_size=65_536)
    return whole, fewer


if __name__ == "__main__":
    main()
