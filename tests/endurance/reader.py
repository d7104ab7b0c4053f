"""A user who has the catalog open while others refresh: queries every view until stdin ends. Prints rounds, as JSON."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb

PAUSE = 0.3


class Reader:
    """Such a user, in a process of its own: within one process DuckDB shares what has the same path."""

    def __init__(self, catalog: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(catalog)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._process.stdout.readline()  # the catalog is open

    def end(self) -> tuple[int, str]:
        """Give how often all views were read, and what went wrong."""
        out, err = self._process.communicate()
        return (int(json.loads(out)), "") if self._process.returncode == 0 else (0, err[-2000:])


def read(catalog: Path) -> None:
    """Be that user."""
    ended = threading.Event()
    with duckdb.connect(str(catalog), read_only=True) as connection:
        names = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        sys.stdout.write("open\n")
        sys.stdout.flush()
        threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
        rounds = 0
        while not rounds or not ended.is_set():
            for (name,) in names:
                connection.execute(f'select count(columns(*)) from "{name}"').fetchall()
            rounds += 1
            time.sleep(PAUSE)
    sys.stdout.write(json.dumps(rounds))


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    read(Path(sys.argv[1]))
