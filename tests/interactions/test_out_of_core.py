"""Memory does not grow with the data: two million interactions in a process of its own."""

import json
import subprocess
import sys

import pytest

ROWS = 2_000_000
# Users of skewed activity, items of skewed popularity, ids as long as Amazon's, one line in a hundred twice.
REVIEWS_SQL = """
copy (
    with drawn as (
        select i as place, hash(i) % 1000003 / 1000003.0 as user_at, hash(7 * i + 1) % 1000003 / 1000003.0 as item_at
        from range($rows) as rows(i)
    )
    select 'AE22236AFRRSMQ' || lpad((user_at ** 2 * 250000)::bigint::text, 14, '0') as user_id,
           'B0' || lpad((item_at ** 3 * 50000)::bigint::text, 8, '0') as item_id,
           1400000000000 + hash(place) % 1000000000 * 100 as timestamp,
           1.0 + hash(place) % 5 as rating,
           'a review of some length, number ' || place || repeat(' lorem ipsum', 30) as review,
           place + copy * $rows as "order",
           null::bigint as line_hash
    from drawn, range(2) as copies(copy)
    where copy = 0 or place % 100 = 0
) to $file (format parquet)
"""
SCRIPT = """
import json, sys
from pathlib import Path
from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.interactions.filtering import build_interactions
from mmsra_pipeline.interactions.splits import build_sequences
from mmsra_pipeline.storage.tables import Store

reviews, root = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(root, memory_limit="512MB", threads=2)


def write(table, rows):
    with store.writer(table, "many", rows.schema) as writing:
        for batch in rows:
            writing.write(batch)
    return writing.slice


with store.duckdb() as connection:
    found, built = build_interactions(connection, reviews, InteractionsConfig(user_core=5, item_core=5), 0)
    kept = write("interactions", found)
print(json.dumps({"left": built["interactions"].tolist(), "users": int(built["users"].iloc[-1]), "kept": kept.rows}))
for split in ("leave_last_out", "global_time"):
    with store.duckdb() as connection:
        sequences, bounds = build_sequences(connection, kept.path, InteractionsConfig(split=split), 0)
        print(json.dumps([write("sequences", sequences).rows, write("training_bounds", bounds).rows]))
# Not resource.getrusage: its peak is at least that of the process that started this one.
[peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(int(peak) * 1024)
"""


@pytest.mark.slow
def test_two_million_interactions_pass_within_half_a_gigabyte_of_duckdb(tmp_path, store):
    reviews = tmp_path / "reviews.parquet"
    with store.duckdb() as connection:
        connection.execute(REVIEWS_SQL, {"rows": ROWS, "file": str(reviews)})
    command = [sys.executable, "-c", SCRIPT, str(reviews), str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built, last_out, by_time, peak = map(json.loads, done.stdout.splitlines())
    assert built["left"][:2] == [ROWS + ROWS // 100, ROWS]
    assert built["left"][-1] == built["kept"] > ROWS / 2
    # A query for each interaction but a user's first; one to serve.
    assert last_out == [built["kept"], built["users"]]
    assert by_time[0] < built["kept"]
    assert peak < 1e9  # bytes of the whole process: half of it is DuckDB's
