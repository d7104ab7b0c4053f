"""Reading reviews in JSON lines, against `gzip -dc` alone and against pandas, on the same generated file.

    python benchmarks/ingest.py [--megabytes 1000] [--repeats 2] [--folder FOLDER]

Prints MB of decompressed lines a second, ratios of time, and the peak memory of ours at a third of the size and at the
full size. Ours is the whole way: lines checked, rejects set apart, rows written as a Parquet slice with its hash.
pandas reads the same columns in chunks and writes the same columns as Parquet. Of both, what their imports alone take
is printed and not counted: it does not grow with the file.
"""

import argparse
import gzip
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 20_000
WORDS = [f"word{number}" for number in range(4000)]
OURS = """
import sys
from pathlib import Path
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.ingest.raw_tables import ITEMS, REVIEWS
from mmsra_pipeline.ingest.rejects import REJECTS
from mmsra_pipeline.ingest.reading import load
from mmsra_pipeline.storage.tables import Store
home, root = map(Path, sys.argv[1:])
store = Store(root)
spec = DatasetSpec("bench", "amazon-2018", home)
with store.duckdb() as connection, store.writer("rejects", "bench", REJECTS) as rejects, \\
        store.writer("raw_items", "bench", ITEMS) as items, store.writer("raw_reviews", "bench", REVIEWS) as reviews:
    load(spec, root, connection, reviews.write, items.write, rejects.write)
"""
PANDAS = """
import sys
from pathlib import Path
import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
home, root = map(Path, sys.argv[1:])
columns = ["reviewerID", "asin", "unixReviewTime", "overall", "summary", "reviewText"]
writer = None
for chunk in pd.read_json(home / "reviews_5.json.gz", lines=True, chunksize=100_000):
    table = pa.Table.from_pandas(chunk[columns], preserve_index=False)
    writer = writer or pq.ParquetWriter(root / "reviews.parquet", table.schema, compression="zstd")
    writer.write_table(table)
writer.close()
"""
PROGRAMS = {"ours": OURS, "pandas": PANDAS}


def generate(path: Path, megabytes: float) -> int:
    """Write reviews of about that many decompressed megabytes, and give their exact bytes."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(5, 150))) for _ in range(5000)]
    done = 0
    with gzip.open(path, "wb", compresslevel=6) as file:
        while done < megabytes * 1e6:
            lines = "".join(json.dumps(review(rng, texts)) + "\n" for _ in range(BATCH)).encode()
            file.write(lines)
            done += len(lines)
    return done


def review(rng: random.Random, texts: list[str]) -> dict[str, object]:
    """One review as the generation of 2018 writes it."""
    return {
        "overall": float(rng.randint(1, 5)), "verified": True, "reviewTime": "06 17, 2018",
        "reviewerID": f"A{rng.randrange(10**6):013d}", "asin": f"B{rng.randrange(10**5):09d}",
        "style": {"Size:": " Large"}, "reviewerName": "pat", "reviewText": rng.choice(texts),
        "summary": "Five Stars", "unixReviewTime": 1_300_000_000 + rng.randrange(10**8),
    }  # fmt: skip


def seconds(command: list[str]) -> tuple[float, float]:
    """Seconds and peak MB of a command."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        _, status, used = wait(running)
    if status:
        raise SystemExit(f"{command[:2]} failed")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def wait(running: subprocess.Popen) -> tuple[int, int, resource.struct_rusage]:
    """Wait for a process, and learn what it used."""
    pid, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    return pid, running.returncode, used


def python(code: str, home: Path) -> tuple[float, float]:
    """Seconds and peak MB of a program that reads ``home`` and writes into a folder of its own."""
    with tempfile.TemporaryDirectory(dir=home.parent) as root:
        return seconds([sys.executable, "-c", code, str(home), root])


def imports(code: str) -> str:
    """Return the lines of a program that import."""
    return "\n".join(line for line in code.splitlines() if line.startswith(("import ", "from ")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folder", help="for the generated files; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        homes = {name: Path(folder) / name for name in ("third", "full")}
        sizes = {}
        for name, share in (("third", 1 / 3), ("full", 1.0)):
            homes[name].mkdir()
            sizes[name] = generate(homes[name] / "reviews_5.json.gz", asked.megabytes * share) / 1e6
        start = {
            name: min(python(imports(code), homes["full"])[0] for _ in range(3)) for name, code in PROGRAMS.items()
        }
        best = {"gzip -dc": 1e9, "ours": 1e9, "pandas": 1e9}
        memory = {}
        for _ in range(asked.repeats):  # in turns, so that other load falls on all alike
            runs = {"gzip -dc": seconds(["gzip", "-dc", str(homes["full"] / "reviews_5.json.gz")])}
            runs |= {name: python(code, homes["full"]) for name, code in PROGRAMS.items()}
            for name, (took, peak) in runs.items():
                best[name] = min(best[name], took - start.get(name, 0))
                memory[name] = peak
        third = python(OURS, homes["third"])[1]
    for name, took in best.items():
        print(f"{name:9} {sizes['full'] / took:7.0f} MB/s")
    print("not counted:", ", ".join(f"imports of {name} {took:.2f} s" for name, took in start.items()))
    print(f"ours takes {best['ours'] / best['gzip -dc']:.2f} x the time of gzip -dc (goal: at most 2)")
    print(f"pandas takes {best['pandas'] / best['ours']:.2f} x the time of ours (goal: at least 4)")
    sized = (f"{peak:.0f} MB at {sizes[name]:.0f} MB" for name, peak in (("third", third), ("full", memory["ours"])))
    print(f"peak memory of ours: {', '.join(sized)}")


if __name__ == "__main__":
    main()
