"""A Postgres server of the tests' own, of the programs that Debian's package `postgresql` installs."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "dagster"
SERVER_USER = "postgres"  # it refuses to run as root


def programs() -> Path | None:
    """Return the folder with initdb and postgres."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def postgres_server() -> Iterator[int]:
    """Give the port of a server that trusts everybody on this machine; without one the test is skipped."""
    folder = programs()
    if folder is None:
        pytest.skip("there is no Postgres server: apt-get install postgresql")
    owner: dict[str, str] = {}
    if os.getuid() == 0:
        try:
            pwd.getpwnam(SERVER_USER)
        except KeyError:
            pytest.skip(f"Postgres does not run as root, and there is no user {SERVER_USER}")
        owner = {"user": SERVER_USER}
    home, port = Path(tempfile.mkdtemp(prefix="postgres")), free_port()  # pytest's own folders are closed to others
    if owner:
        shutil.chown(home, SERVER_USER)
    data = home / "data"
    try:
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, cwd=home, **owner,
        )  # fmt: skip
        server = subprocess.Popen(
            [folder / "postgres", "-D", data, "-p", str(port), "-k", home, "-h", "127.0.0.1", "-F"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **owner,
        )  # fmt: skip
        try:
            _wait(port)
            yield port
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait(port: int) -> None:
    import psycopg2

    for _ in range(100):
        try:
            connection = psycopg2.connect(host="127.0.0.1", port=port, user=USER, dbname="postgres")
        except psycopg2.OperationalError:
            time.sleep(0.2)
            continue
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create database {USER}")
        connection.close()
        return
    raise AssertionError("Postgres does not answer")
