"""Which processes there are on this machine."""

import os
from pathlib import Path

PROC = Path("/proc")


def lives(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def lives_since(pid: int, moment: float) -> bool:
    """Whether there is a process of this number that was there at ``moment``, in seconds since 1970 UTC.

    Numbers are given again, after a restart of the machine above all. Where the system does not say when a process
    began, the number alone decides.
    """
    begun = _begun(pid)
    return lives(pid) and (begun is None or begun <= moment + 1)


def _begun(pid: int) -> float | None:
    try:
        ticks = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime"))
    except (OSError, StopIteration, IndexError, ValueError):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
