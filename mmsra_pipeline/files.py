"""Writing that a kill cannot tear, and names that are safe as file names."""

import hashlib
import os
import re
import shutil
from pathlib import Path

from mmsra_pipeline.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that any reader, at any instant, sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove what processes that are no more left half written in ``folder``: files and folders '.PID-….tmp'."""
    for path in folder.glob(".*-*.tmp"):
        pid = path.name[1:].split("-", 1)[0]
        if pid.isdigit() and not _lives(int(pid)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clean_name(name: str) -> str:
    """Give ``name`` back if it is safe as a folder name.

    Raises:
        ConfigError: if it is not, so that no name can lead out of its folder.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a dataset or table. Use 1 to 64 letters, digits, '_', '-' or '.', "
            "and begin with a letter or digit."
        )
    return name


def file_hash(path: Path) -> str:
    """Sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_hash(folder: Path) -> str:
    """Sha256 over names and bytes of all files below a folder, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()
