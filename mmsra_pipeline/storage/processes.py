"""Which processes there are on this machine, and how much memory."""

import contextlib
import math
from pathlib import Path
from typing import Final

import psutil

CGROUP: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def lives(pid: int) -> bool:
    """Whether a process of this number is at work; one that ended and that nobody waited for is not."""
    return lives_since(pid, math.inf)


def lives_since(pid: int, moment: float) -> bool:
    """Whether a process of this number is at work that was there at ``moment``, in seconds since 1970 UTC.

    Numbers are given again, after a restart of the machine above all. Where the system does not say when a process
    began, the number alone decides.
    """
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= moment + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def machine_memory() -> int:
    """Bytes of main memory that this process may have: the machine's, or what its container is allowed."""
    limits = [int(psutil.virtual_memory().total)]  # psutil knows of no containers
    for file in CGROUP:
        with contextlib.suppress(OSError, ValueError):  # "max": no bound
            limits.append(int(file.read_text()))
    return min(limits)
