"""A disk that fills up: a small file system in memory where it can be mounted, else a bound on the size of files."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

BALLAST = "ballast"
MEGABYTES = 600


class Disk:
    """Where a root lies."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted

    @property
    def kind(self) -> str:
        """What a full disk is here."""
        return "ENOSPC of a tmpfs" if self.mounted else "EFBIG by RLIMIT_FSIZE"

    @contextmanager
    def full_but_for(self, left: int) -> Iterator[Callable[[], None] | None]:
        """Leave so many bytes meanwhile; gives what a process has to call where the disk itself cannot be filled."""
        if not self.mounted:
            yield partial(_bound, left)
            return
        ballast = self.folder / BALLAST
        state = os.statvfs(self.folder)
        with ballast.open("wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, max(1, state.f_bavail * state.f_frsize - left))
        try:
            yield None
        finally:
            ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a small file system at ``folder`` if that is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield Disk(folder, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _bound(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
