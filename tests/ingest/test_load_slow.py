"""Loading a data set that is killed, and how much memory loading takes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

KILLS = 20
TABLES = ("rejects", "raw_items", "raw_reviews")
# As the asset raw_reviews does it.
LOADER = """
import os, sys
from pathlib import Path
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.ingest.raw_tables import ITEMS, REVIEWS
from mmsra_pipeline.ingest.rejects import REJECTS
from mmsra_pipeline.ingest.reading import load
from mmsra_pipeline.storage.tables import Store

def run(root, form, source):
    store = Store(Path(root))
    spec = DatasetSpec("shop", form, Path(source))
    with (
        store.duckdb() as connection,
        store.writer("rejects", "shop", REJECTS) as rejects,
        store.writer("raw_items", "shop", ITEMS) as items,
        store.writer("raw_reviews", "shop", REVIEWS) as reviews,
    ):
        return load(spec, Path(root), connection, reviews.write, items.write, rejects.write)
"""
# Imports once; then each line of input is a load in a process of its own, whose number is printed, then its exit code.
SERVER = (
    LOADER
    + """
for line in sys.stdin:
    child = os.fork()
    if not child:
        run(*line.split())
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
)
MEASURED = (
    LOADER
    + """
loaded = run(*sys.argv[1:])
# Not resource.getrusage: its peak is at least that of the process that started this one.
[peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(loaded.reviews, peak)
"""
)


def write_json(folder: Path, count: int, seed: int = 0) -> Path:
    """Reviews and metadata, of which some lines cannot be used."""
    rng = random.Random(seed)
    folder.mkdir()
    with (folder / "M_5.json").open("w") as file:
        for number in range(count):
            user = "" if number % 1000 == 7 else f"A{rng.randrange(count // 5)}"
            file.write(
                f'{{"overall": {rng.randint(1, 5)}.0, "reviewerID": "{user}", "asin": "B{rng.randrange(5000)}", '
                f'"summary": "good", "reviewText": "text {number} {"soft and warm " * (number % 9)}", '
                f'"unixReviewTime": {1_300_000_000 + rng.randrange(10**8)}}}\n'
            )
    lines = [json.dumps({"asin": f"B{number % 5000}", "title": f"Title {seed} {number}"}) for number in range(5500)]
    (folder / "meta_M.json").write_text("\n".join(lines))
    return folder


def write_csv(folder: Path, count: int) -> Path:
    rng = random.Random(0)
    folder.mkdir()
    with (folder / "interactions.csv").open("w") as file:
        file.write("user_id,item_id,timestamp,review\n")
        for number in range(count):
            quoted = '"a ""quoted"" cell"' if number % 10 == 0 else "soft and warm " * (number % 9)
            file.write(f"u{rng.randrange(count)},i{rng.randrange(5000)},{1_300_000_000 + number},{quoted}\n")
    (folder / "items.csv").write_text("item_id\n" + "".join(f"i{number}\n" for number in range(5000)))
    return folder


class Loads:
    """Starts loads, each in a process of its own."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, root: Path, source: Path) -> int:
        self._server.stdin.write(f"{root} amazon-2018 {source}\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self) -> int:
        return int(self._server.stdout.readline())

    def whole(self, root: Path, source: Path) -> tuple[dict[str, str], float]:
        """Load undisturbed; give versions and seconds."""
        start = time.perf_counter()
        self.start(root, source)
        assert self.wait() == 0
        return versions(root), time.perf_counter() - start

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait(60)


def pointer(root: Path, table: str) -> dict:
    return json.loads((root / table / "shop" / "current").read_text())


def versions(root: Path) -> dict[str, str]:
    return {table: pointer(root, table)["version"] for table in TABLES}


def left_over(root: Path) -> list[str]:
    """Files and folders that are neither slices nor what belongs to the store."""
    paths = [path for path in root.rglob("*") if path.name not in {"catalog.duckdb", ".catalog.lock", "current"}]
    known = {root / table for table in TABLES} | {root / table / "shop" for table in TABLES}
    return [str(path) for path in paths if path not in known and path.suffix != ".parquet"]


@pytest.fixture
def loads():
    server = Loads()
    yield server
    server.close()


@pytest.mark.slow
def test_a_load_that_is_killed_leaves_whole_slices_and_the_next_one_is_as_if_nothing_had_happened(tmp_path, loads):
    small, large = write_json(tmp_path / "small", 2_000, seed=1), write_json(tmp_path / "large", 200_000)
    old, _ = loads.whole(tmp_path / "clean_small", small)
    new, seconds = loads.whole(tmp_path / "clean_large", large)
    assert not set(old.values()) & set(new.values())
    root = tmp_path / "root"
    assert loads.whole(root, small)[0] == old
    rng, killed, tries = random.Random(0), 0, 0
    while killed < KILLS:  # some end by themselves before
        tries += 1
        assert tries < 20 * KILLS
        child = loads.start(root, large if rng.random() < 0.8 else small)
        time.sleep(rng.uniform(0, 1.05 * seconds))
        with contextlib.suppress(ProcessLookupError):  # it had ended by itself
            os.kill(child, signal.SIGKILL)
        killed += loads.wait() == -signal.SIGKILL
        for table in TABLES:
            found = pointer(root, table)
            assert found["version"] in {old[table], new[table]}
            slice_ = root / table / "shop" / f"{found['version']}.parquet"
            clean = tmp_path / ("clean_large" if found["version"] == new[table] else "clean_small")
            assert pq.read_metadata(slice_).num_rows == found["rows"]
            assert slice_.read_bytes() == (clean / table / "shop" / slice_.name).read_bytes()
    assert loads.whole(root, large)[0] == new
    assert left_over(root) == []


def peak_kilobytes(root: Path, form: str, source: Path, rows: int) -> int:
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, str(root), form, str(source)], capture_output=True, text=True, check=True
    )
    found, peak = map(int, ran.stdout.split())
    assert found == rows
    return peak


@pytest.mark.slow
@pytest.mark.parametrize("form", ["amazon-2018", "tables"])
def test_three_times_the_rows_need_no_more_memory(tmp_path, form):
    peaks = []
    for count in (200_000, 600_000):
        name = str(count)
        if form == "tables":
            source, rows = write_csv(tmp_path / name, count), count
        else:
            source, rows = write_json(tmp_path / name, count), count - count // 1000
        peaks.append(peak_kilobytes(tmp_path / f"root{count}", form, source, rows))
    assert peaks[1] <= 1.2 * peaks[0], peaks
